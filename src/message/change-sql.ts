import type { PendingQuery } from 'postgres';
import type { Sql } from '../db/types.ts';
import type { PatchableEvent } from '../event/log/wire.ts';
import { type MessageRow, messageColumns, nextSeq, type ThreadColumns } from './sql.ts';

const VERSIONS_KEPT = 100;

/** Keeps a message as it is among its earlier versions. */
export function insertVersion(sql: Sql, tenantId: bigint, messageId: bigint): PendingQuery<never[]> {
  return sql<never[]>`
    insert into message_edits
      (tenant_id, message_id, version, channel_id, content, mentions, metadata, created_at)
    select
      m.tenant_id, m.id,
      1 + coalesce((select max(e.version) from message_edits e where e.tenant_id = ${tenantId} and e.message_id = m.id), 0),
      m.channel_id, m.content, m.mentions, m.metadata, coalesce(m.edited_at, m.created_at)
    from messages m
    where m.id = ${messageId}
      and m.tenant_id = ${tenantId}
  `;
}

/** Forgets the versions of a message that are too many. */
export function deleteOldVersions(sql: Sql, tenantId: bigint, messageId: bigint): PendingQuery<never[]> {
  return sql<never[]>`
    delete from message_edits e
    where e.tenant_id = ${tenantId}
      and e.message_id = ${messageId}
      and e.version <= (
        select max(x.version) - ${VERSIONS_KEPT}
        from message_edits x
        where x.tenant_id = ${tenantId} and x.message_id = ${messageId}
      )
  `;
}

export type Content = {
  readonly content: string;
  readonly mentions: readonly bigint[];
  /** JSON text. */
  readonly metadata: string | null;
};

export function updateContent(
  sql: Sql,
  tenantId: bigint,
  messageId: bigint,
  { content, mentions, metadata }: Content,
): PendingQuery<MessageRow[]> {
  return sql<MessageRow[]>`
    update messages m
    set
      content = ${content},
      mentions = ${sql.array([...mentions], 1016)},
      metadata = ${metadata}::text::jsonb,
      is_edited = true,
      edited_at = t.now,
      updated_at = t.now,
      event_seq = ${nextSeq(sql)}
    from (select now_ms() as now) as t
    where m.id = ${messageId}
      and m.tenant_id = ${tenantId}
    returning ${messageColumns(sql)}
  `;
}

export type VersionRow = {
  readonly version: number | null;
  readonly content: string;
  readonly mentions: bigint[];
  readonly metadata: string | null;
  readonly createdAt: bigint;
};

/** Earlier versions of a message, latest first; one row without version when there are none, no row without message. */
export function listVersions(
  sql: Sql,
  tenantId: bigint,
  userId: bigint,
  channelId: bigint,
  messageId: bigint,
): PendingQuery<VersionRow[]> {
  return sql<VersionRow[]>`
    select e.version, e.content, e.mentions, e.metadata::text, e.created_at
    from messages m
    join channels c on c.id = m.channel_id
    join channel_members me on me.channel_id = m.channel_id
    left join message_edits e
      on e.tenant_id = m.tenant_id
      and e.message_id = m.id
      and not m.is_deleted
    where m.id = ${messageId}
      and m.channel_id = ${channelId}
      and m.tenant_id = ${tenantId}
      and c.deleted_at is null
      and me.user_id = ${userId}
      and me.tenant_id = ${tenantId}
      and is_member_status(me.status)
    order by e.version desc
    limit ${VERSIONS_KEPT}
  `;
}

export type ShortenedRow = ThreadColumns & { readonly rootId: bigint };

/**
 * Deletes a message, with all that hangs on it, in the log too: `created` takes the place of the event that posted
 * it, `later` that of every one after. Returns the thread it was in, when it was a reply.
 */
export function deleteMessage(
  sql: Sql,
  message: { readonly channelId: bigint; readonly id: bigint },
  actorId: bigint,
  now: bigint,
  created: PatchableEvent,
  later: PatchableEvent,
): PendingQuery<ShortenedRow[]> {
  return sql<ShortenedRow[]>`
    select root_id, thread_count, thread_user_count, thread_users, last_reply_at
    from delete_message(
      ${message.channelId}, ${message.id}, ${actorId}, ${now},
      ${created.payload}, ${created.seqOffset}, ${later.payload}, ${later.seqOffset}
    )
  `;
}
