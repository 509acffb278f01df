import type { PendingQuery } from 'postgres';
import type { Pool, Sql } from '../db/types.ts';
import { type MessageRow, messageColumns } from '../message/sql.ts';
import type { StatusOverrideRow } from '../presence/sql.ts';

export type PreviewRow = {
  readonly holdId: bigint | null;
  readonly channels: bigint;
  readonly messages: bigint;
  readonly activities: bigint;
  readonly uploads: bigint;
};

/** The hold that prevents the erasure of a user, and what it would erase. */
export function previewErasure(
  sql: Sql,
  tenantId: bigint,
  userId: bigint,
  limit: number,
): PendingQuery<PreviewRow[]> {
  return sql<PreviewRow[]>`
    select hold_id, channels, messages, activities, uploads
    from preview_erasure(${tenantId}, ${userId}, ${limit})
  `;
}

/** Channels after an id of which a user is or was a member. */
export function listMemberChannels(
  sql: Sql | Pool,
  tenantId: bigint,
  userId: bigint,
  after: bigint,
  limit: number,
): PendingQuery<{ channelId: bigint }[]> {
  return sql<{ channelId: bigint }[]>`
    select channel_id
    from list_member_channels(${tenantId}, ${userId}, ${after}, ${limit})
    order by channel_id
  `;
}

export type ErasableRow = {
  readonly ownIds: bigint[];
  /** Messages of others with a mention, reaction or vote of the user. */
  readonly traceIds: bigint[];
  /** 0n at the end of the channel. */
  readonly nextBefore: bigint;
};

/** Messages of a channel before an id that the erasure of a user concerns. */
export function listErasable(
  sql: Pool,
  { tenantId, userId }: { readonly tenantId: bigint; readonly userId: bigint },
  channelId: bigint,
  before: bigint,
  limits: { readonly scan: number; readonly messages: number },
): PendingQuery<ErasableRow[]> {
  return sql<ErasableRow[]>`
    select own_ids, trace_ids, next_before
    from list_erasable_messages(
      ${tenantId}, ${channelId}, ${userId}, ${before}, ${limits.scan}, ${limits.messages}
    )
  `;
}

/** Locks a channel, also a deleted one. `isDeleted` is null if it does not exist. */
export function lockForErasure(
  sql: Sql,
  channelId: bigint,
  userId: bigint,
): PendingQuery<{ isDeleted: boolean | null; holdId: bigint | null }[]> {
  return sql<{ isDeleted: boolean | null; holdId: bigint | null }[]>`
    select is_deleted, hold_id from lock_for_erasure(${channelId}, ${userId})
  `;
}

/** Messages of a channel, and the time. The channel must be locked. */
export function listMessages(
  sql: Sql,
  tenantId: bigint,
  channelId: bigint,
  ids: readonly bigint[],
): PendingQuery<(MessageRow & { now: bigint })[]> {
  return sql<(MessageRow & { now: bigint })[]>`
    select ${messageColumns(sql)}, now_ms() as now
    from messages m
    where m.id = any(${sql.array([...ids], 1016)})
      and m.channel_id = ${channelId}
      and m.tenant_id = ${tenantId}
    order by m.id desc
  `;
}

/** Removes what remains of deleted messages of a user. Returns words that searches might know only from them. */
export function eraseMessages(
  sql: Sql,
  channelId: bigint,
  userId: bigint,
  ids: readonly bigint[],
): PendingQuery<{ words: string }[]> {
  return sql<{ words: string }[]>`
    select to_json(erase_messages(${channelId}, ${userId}, ${sql.array([...ids], 1016)}))::text as words
  `;
}

/** Removes mentions, reactions, votes and activities of a user from the message of another user. */
export function eraseTraces(
  sql: Sql,
  channelId: bigint,
  userId: bigint,
  messageId: bigint,
): PendingQuery<object[]> {
  return sql`select erase_traces(${channelId}, ${userId}, ${messageId})`;
}

/** Removes words that no message of the tenant contains any more. */
export function removeUnusedWords(
  sql: Pool,
  tenantId: bigint,
  words: readonly string[],
): PendingQuery<object[]> {
  return sql`select remove_unused_words(${tenantId}, ${sql.array([...words], 1009)})`;
}

/** Removes activities for or by a user among some activities after an id. `nextAfter` is 0n at the end. */
export function eraseActivities(
  sql: Sql,
  tenantId: bigint,
  userId: bigint,
  after: bigint,
  scan: number,
): PendingQuery<{ holdId: bigint | null; erased: number; nextAfter: bigint }[]> {
  return sql<{ holdId: bigint | null; erased: number; nextAfter: bigint }[]>`
    select hold_id, erased, next_after from erase_activities(${tenantId}, ${userId}, ${after}, ${scan})
  `;
}

/** Removes all other data of a user. Returns the status that remains; null if the user never set one. */
export function eraseUserRows(
  sql: Sql,
  tenantId: bigint,
  userId: bigint,
): PendingQuery<({ uploads: number } & (StatusOverrideRow | { status: null }))[]> {
  return sql<({ uploads: number } & (StatusOverrideRow | { status: null }))[]>`
    select uploads, status, status_text, expires_at, updated_at
    from erase_user_rows(${tenantId}, ${userId})
  `;
}
