import type { PendingQuery } from 'postgres';
import { array, type Sql } from '../db/types.ts';
import type { PatchableEvent } from '../event/log/wire.ts';

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
  /** Encrypts the content for the id of the message; undefined in a channel that is not encrypted. */
  readonly encrypt?: (messageId: bigint) => EncryptedParts;
  readonly encrypted?: EncryptedParts;
};

/** What an encrypted message has instead of its content. */
export type EncryptedParts = {
  readonly messageId: bigint;
  readonly dataKeyId: bigint;
  readonly content: Buffer;
  readonly event: PatchableEvent;
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
    /** The channel is encrypted with another key, or was not encrypted before. */
    | 'KEY_CHANGED'
    /** Another transaction has locked the channel (only without `isWaiting`), or posted a message with a higher id. */
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
      ${items.every(isPlain) ? sql`null, null, null, null, null, null, null, null, null, null` : additions(sql, items)},
      ${isWaiting}
    )
  `;
}

/**
 * Reserves ids for the encrypted messages of a batch and encrypts their content for these ids. Immediately before the
 * batch, so that ids of a channel are in the order of its messages.
 */
export async function encryptItems(sql: Sql, items: readonly SendItem[]): Promise<readonly SendItem[]> {
  const count = items.filter(({ encrypt }) => encrypt !== undefined).length;
  if (count === 0) return items;
  const ids = await sql<{ id: bigint }[]>`
    select nextval('messages_id_seq') as id
    from generate_series(1, ${count}::int)
  `;
  let used = 0;
  return items.map((item) => {
    if (item.encrypt === undefined) return item;
    const encrypted = item.encrypt(ids[used]?.id ?? 0n);
    used += 1;
    return { ...item, ...encrypted.event, encrypted };
  });
}

/** Without anything that only few messages have. */
export function isPlain({ mentions, mentionScope, parentId, attachments, encrypt }: SendItem): boolean {
  return (
    mentions.length === 0 &&
    mentionScope === null &&
    parentId === 0n &&
    attachments.length === 0 &&
    encrypt === undefined
  );
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
    )},
    ${items.some(({ encrypted }) => encrypted !== undefined) ? encryptedParts(sql, items) : sql`null, null, null`}
  `;
}

function encryptedParts(sql: Sql, items: readonly SendItem[]) {
  return sql`
    ${sql.array(
      items.map(({ encrypted }) => encrypted?.dataKeyId ?? 0n),
      array.bigint,
    )},
    ${sql.array(
      items.map(({ encrypted }) => encrypted?.messageId ?? 0n),
      array.bigint,
    )},
    ${sql.array(
      items.map(({ encrypted }) => encrypted?.content ?? Buffer.alloc(0)),
      array.bytea,
    )}
  `;
}
