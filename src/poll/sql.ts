import type { PendingQuery } from 'postgres';
import type { Sql } from '../db/types.ts';
import { type MessageRow, messageColumns, nextSeq } from '../message/sql.ts';

type Vote = {
  readonly channelId: bigint;
  readonly messageId: bigint;
  readonly optionIds: readonly number[];
};

/** Deletes the user's votes for other options. `count` is their number. */
export function deleteOtherVotes(
  sql: Sql,
  tenantId: bigint,
  userId: bigint,
  { messageId, optionIds }: Vote,
): PendingQuery<never[]> {
  return sql<never[]>`
    delete from poll_votes v
    where v.tenant_id = ${tenantId}
      and v.message_id = ${messageId}
      and v.user_id = ${userId}
      and v.option_id != all(${toArray(optionIds)}::text::int[])
  `;
}

/** Inserts the votes that the user does not have yet. `count` is their number. */
export function insertVotes(
  sql: Sql,
  tenantId: bigint,
  userId: bigint,
  { channelId, messageId, optionIds }: Vote,
): PendingQuery<never[]> {
  return sql<never[]>`
    insert into poll_votes (tenant_id, message_id, user_id, option_id, channel_id, created_at)
    select ${tenantId}, ${messageId}, ${userId}, o.id, ${channelId}, now_ms()
    from unnest(${toArray(optionIds)}::text::int[]) as o(id)
    on conflict do nothing
  `;
}

/** Marks a poll as changed and, with `closedAt`, as closed. Its channel must be locked. */
export function updatePoll(
  sql: Sql,
  tenantId: bigint,
  messageId: bigint,
  closedAt: bigint | null,
): PendingQuery<MessageRow[]> {
  const closed =
    closedAt === null
      ? sql``
      : sql`metadata = jsonb_set(m.metadata, '{poll_data,closed_at}', to_jsonb(${closedAt}::bigint)),`;
  return sql<MessageRow[]>`
    update messages m
    set
      ${closed}
      updated_at = now_ms(),
      event_seq = ${nextSeq(sql)}
    where m.id = ${messageId}
      and m.tenant_id = ${tenantId}
    returning ${messageColumns(sql)}
  `;
}

/** The options that a user voted for, in order. */
export function listVotes(
  sql: Sql,
  tenantId: bigint,
  userId: bigint,
  messageId: bigint,
): PendingQuery<{ optionId: number }[]> {
  return sql<{ optionId: number }[]>`
    select v.option_id
    from poll_votes v
    where v.tenant_id = ${tenantId}
      and v.message_id = ${messageId}
      and v.user_id = ${userId}
    order by v.option_id
  `;
}

function toArray(optionIds: readonly number[]): string {
  return `{${optionIds.join(',')}}`;
}
