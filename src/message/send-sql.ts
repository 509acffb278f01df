import type { PendingQuery } from 'postgres';
import { array, type Sql } from '../db/types.ts';

/** One message of a batch, as `send_messages` reads it. */
export type SendItem = {
  readonly tenantId: bigint;
  readonly userId: bigint;
  /** For the text of activities; empty when the token has no name. */
  readonly userName: string;
  /** A service without a user, which needs no membership. */
  readonly isManager: boolean;
  readonly channelId: bigint;
  readonly requestId: string;
  readonly payloadHash: Buffer;
  readonly type: string;
  readonly content: string;
  readonly mentions: readonly bigint[];
  readonly mentionScope: string | null;
  /** 0 outside threads. */
  readonly parentId: bigint;
  readonly alsoInChannel: boolean;
  /** JSON text. */
  readonly metadata: string | null;
  readonly payload: Buffer;
  readonly seqOffset: number;
  readonly messageOffset: number;
  /** Files with the versions that the payload describes. */
  readonly attachments: readonly { readonly id: string; readonly version: number }[];
  /** Words that a search finds, besides the content. */
  readonly fileNames: string;
};

export type SentRow = {
  readonly item: number;
  readonly errorReason:
    | 'CHANNEL_NOT_FOUND'
    | 'MEMBER_MUTED'
    | 'CHANNEL_ARCHIVED'
    | 'MESSAGE_NOT_FOUND'
    | 'MESSAGE_DELETED'
    | 'ATTACHMENT_NOT_FOUND'
    | 'ATTACHMENT_CHANGED'
    | 'REPEATED'
    /** Another transaction has locked the channel; only without `isWaiting`. */
    | 'CHANNEL_BUSY'
    | null;
  readonly messageId: bigint;
  readonly position: bigint;
  readonly createdAt: bigint;
  readonly seq: bigint;
  readonly payload: Buffer;
  /** Activities that the message caused, for `signalActivities`. */
  readonly activities: string | null;
  /** Whether further activities are recorded after the batch. */
  readonly hasPending: boolean;
};

/**
 * Posts a batch in one statement and transaction. Every item has its own result. With `isWaiting` it waits for locked
 * channels, and fails after a lock timeout.
 */
export function sendMessages(
  sql: Sql,
  items: readonly SendItem[],
  isWaiting: boolean,
): PendingQuery<SentRow[]> {
  const [first] = items;
  if (first !== undefined && items.length === 1 && isPlain(first)) return sendMessage(sql, first, isWaiting);
  return sql<SentRow[]>`
    select item, error_reason, message_id, position, created_at, seq, payload, activities, has_pending
    from send_messages(
      ${sql.array(
        items.map(({ tenantId }) => tenantId),
        array.bigint,
      )},
      ${sql.array(
        items.map(({ userId }) => userId),
        array.bigint,
      )},
      ${sql.array(
        items.map(({ isManager }) => isManager),
        array.boolean,
      )},
      ${sql.array(
        items.map(({ channelId }) => channelId),
        array.bigint,
      )},
      ${sql.array(
        items.map(({ requestId }) => requestId),
        array.uuid,
      )},
      ${sql.array(
        items.map(({ payloadHash }) => payloadHash),
        array.bytea,
      )},
      ${sql.array(
        items.map(({ type }) => type),
        array.text,
      )},
      ${sql.array(
        items.map(({ content }) => content),
        array.text,
      )},
      ${sql.array(
        items.map(({ metadata }) => metadata),
        array.text,
      )},
      ${sql.array(
        items.map(({ payload }) => payload),
        array.bytea,
      )},
      ${sql.array(
        items.map(({ seqOffset }) => seqOffset),
        array.int,
      )},
      ${sql.array(
        items.map(({ messageOffset }) => messageOffset),
        array.int,
      )},
      ${items.every(isPlain) ? sql`null, null, null, null, null, null, null` : additions(sql, items)},
      ${isWaiting}
    )
  `;
}

/** Without anything that only few messages have. */
export function isPlain({ mentions, mentionScope, parentId, attachments }: SendItem): boolean {
  return mentions.length === 0 && mentionScope === null && parentId === 0n && attachments.length === 0;
}

function sendMessage(sql: Sql, item: SendItem, isWaiting: boolean): PendingQuery<SentRow[]> {
  return sql<SentRow[]>`
    select
      0 as item, error_reason, message_id, position, created_at, seq, payload, null as activities, false as has_pending
    from send_message(
      ${item.tenantId}, ${item.userId}, ${item.isManager}, ${item.channelId}, ${item.requestId}, ${item.payloadHash},
      ${item.type}, ${item.content}, ${item.metadata}, ${item.payload}, ${item.seqOffset}, ${item.messageOffset},
      ${isWaiting}
    )
  `;
}

function additions(sql: Sql, items: readonly SendItem[]) {
  const files = items.flatMap(({ tenantId, userId, channelId, attachments }, item) =>
    attachments.length === 0
      ? []
      : [{ item, tenantId: `${tenantId}`, userId: `${userId}`, channelId: `${channelId}`, attachments }],
  );
  return sql`
    ${sql.array(
      items.map(({ mentions }) => `{${mentions.join(',')}}`),
      array.text,
    )},
    ${sql.array(
      items.map(({ mentionScope }) => mentionScope),
      array.text,
    )},
    ${sql.array(
      items.map(({ parentId }) => parentId),
      array.bigint,
    )},
    ${sql.array(
      items.map(({ alsoInChannel }) => alsoInChannel),
      array.boolean,
    )},
    ${sql.array(
      items.map(({ fileNames }) => fileNames),
      array.text,
    )},
    ${files.length === 0 ? null : JSON.stringify(files)}::text::json,
    ${sql.array(
      items.map(({ userName }) => userName),
      array.text,
    )}
  `;
}
