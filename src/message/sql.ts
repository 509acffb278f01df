import type { PendingQuery } from 'postgres';
import type { Pool, Sql } from '../db/database.ts';

export type MessageRow = {
  readonly id: bigint;
  readonly channelId: bigint;
  readonly senderId: bigint;
  readonly messageType: string;
  readonly content: string;
  readonly mentions: bigint[];
  readonly parentId: bigint | null;
  readonly threadCount: number;
  readonly editedAt: bigint | null;
  readonly deletedAt: bigint | null;
  readonly isDeleted: boolean;
  /** JSON text, so that its keys stay as the client wrote them. */
  readonly metadata: string | null;
  readonly postSeq: bigint;
  readonly createdAt: bigint;
};

/** One message of a batch, as `send_messages` reads it: bigints as decimal strings, bytes as base64. */
export type SendItem = {
  readonly tenantId: string;
  readonly userId: string;
  readonly channelId: string;
  readonly requestId: string | null;
  readonly payloadHash: string | null;
  readonly type: string;
  readonly content: string;
  readonly mentions: readonly string[];
  readonly parentId: string | null;
  readonly metadata: unknown;
  readonly payload: string;
  readonly seqAt: number;
  readonly messageAt: number;
};

export type SentRow = {
  readonly item: number;
  readonly refusal:
    | 'CHANNEL_NOT_FOUND'
    | 'MEMBER_MUTED'
    | 'CHANNEL_ARCHIVED'
    | 'MESSAGE_NOT_FOUND'
    | 'REPEATED'
    | null;
  readonly messageId: bigint;
  readonly position: bigint;
  readonly createdAt: bigint;
  readonly seq: bigint;
  readonly payload: Buffer;
};

/** Posts a batch in one statement and transaction; every item gets its own outcome. */
export function sendMessages(sql: Pool, items: readonly SendItem[]): PendingQuery<SentRow[]> {
  const numbered = JSON.stringify(items.map((item, index) => ({ item: index, ...item })));
  return sql<SentRow[]>`
    select item, refusal, message_id, position, created_at, seq, payload
    from send_messages(${numbered}::text::json)
  `;
}

// Columns of MessageRow. A deleted message loses its content here, whatever the caller does with the row.
function columns(sql: Sql) {
  return sql`
    m.id, m.channel_id, m.sender_id, m.message_type,
    case when m.is_deleted then '' else m.content end as content,
    case when m.is_deleted then '{}' else m.mentions end as mentions,
    m.parent_id, m.thread_count, m.edited_at, m.deleted_at, m.is_deleted,
    case when m.is_deleted then null else m.metadata::text end as metadata,
    m.post_seq, m.created_at
  `;
}

/** A message in a channel of the user's; no row when either is not there for them. */
export function findMessage(
  sql: Sql,
  tenantId: bigint,
  userId: bigint,
  channelId: bigint,
  messageId: bigint,
): PendingQuery<MessageRow[]> {
  return sql<MessageRow[]>`
    select ${columns(sql)}
    from messages m
    join channel_members me on me.channel_id = m.channel_id
    join channels c on c.id = m.channel_id
    where m.id = ${messageId}
      and m.channel_id = ${channelId}
      and m.tenant_id = ${tenantId}
      and me.user_id = ${userId}
      and me.tenant_id = ${tenantId}
      and me.status in ('ACTIVE', 'MUTED')
      and c.deleted_at is null
  `;
}

export type RepeatedRow = MessageRow & { readonly payloadHash: Buffer };

/** The message a request id was used for, also when the sender is no longer in its channel. */
export function findRepeated(
  sql: Sql,
  tenantId: bigint,
  userId: bigint,
  requestId: string,
): PendingQuery<RepeatedRow[]> {
  return sql<RepeatedRow[]>`
    select ${columns(sql)}, k.payload_hash
    from idempotency_keys k
    join messages m on m.id = k.resource_id
    where k.tenant_id = ${tenantId}
      and k.user_id = ${userId}
      and k.request_id = ${requestId}
      and k.method = 'SendMessage'
      and m.tenant_id = ${tenantId}
  `;
}

export type HistoryRow = { readonly headSeq: bigint } & (
  | (MessageRow & { readonly newer: boolean })
  | { readonly id: null; readonly newer: null }
);

/**
 * Messages of a channel around a pivot: up to `older` before it and up to `newer` from it on. No row at all
 * when the channel is not there for the user; one row without message when there is none to show.
 */
export function listHistory(
  sql: Sql,
  tenantId: bigint,
  userId: bigint,
  channelId: bigint,
  page: { readonly pivot: bigint; readonly older: number; readonly newer: number },
): PendingQuery<HistoryRow[]> {
  return sql<HistoryRow[]>`
    select c.event_seq as head_seq, page.*
    from channels c
    join channel_members me on me.channel_id = c.id
    left join lateral (
      (
        select ${columns(sql)}, false as newer
        from messages m
        where m.channel_id = c.id and m.tenant_id = ${tenantId} and m.id < ${page.pivot}
        order by m.id desc
        limit ${page.older}
      )
      union all
      (
        select ${columns(sql)}, true as newer
        from messages m
        where m.channel_id = c.id and m.tenant_id = ${tenantId} and m.id >= ${page.pivot}
        order by m.id
        limit ${page.newer}
      )
    ) as page on true
    where c.id = ${channelId}
      and c.tenant_id = ${tenantId}
      and c.deleted_at is null
      and me.user_id = ${userId}
      and me.tenant_id = ${tenantId}
      and me.status in ('ACTIVE', 'MUTED')
    order by page.id
  `;
}
