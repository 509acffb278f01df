import type { PendingQuery } from 'postgres';
import type { Sql } from '../db/types.ts';
import { joinReader } from '../membership/sql.ts';
import { type MessageRow, messageColumns, nextSeq } from '../message/sql.ts';
import type { Caller } from '../rpc/call.ts';

/** The number of pinned messages of a channel. */
export function countPins(sql: Sql, tenantId: bigint, channelId: bigint): PendingQuery<{ pins: number }[]> {
  return sql<{ pins: number }[]>`
    select count(*)::int as pins
    from messages m
    where m.channel_id = ${channelId}
      and m.tenant_id = ${tenantId}
      and m.pin_seq is not null
  `;
}

/** Pins a message, or unpins it (null). Its channel must be locked. */
export function updatePin(
  sql: Sql,
  tenantId: bigint,
  messageId: bigint,
  pin: { readonly at: bigint; readonly by: bigint } | null,
): PendingQuery<MessageRow[]> {
  return sql<MessageRow[]>`
    update messages m
    set
      pinned_at = ${pin?.at ?? null},
      pinned_by = ${pin?.by ?? null},
      pin_seq = ${pin === null ? sql`null` : nextSeq(sql)},
      updated_at = now_ms(),
      event_seq = ${nextSeq(sql)}
    where m.id = ${messageId}
      and m.tenant_id = ${tenantId}
    returning ${messageColumns(sql)}
  `;
}

export type PinRow = MessageRow & { readonly pinSeq: bigint };

/**
 * Pinned messages of a channel, the latest pin first, from the one before a `pinSeq` on. One row without message when
 * there are none, no row when the caller does not see the channel.
 */
export function listPins(
  sql: Sql,
  caller: Caller,
  channelId: bigint,
  before: bigint | null,
  limit: number,
): PendingQuery<(PinRow | { readonly id: null })[]> {
  const { tenantId } = caller;
  return sql<(PinRow | { readonly id: null })[]>`
    select pinned.*
    from channels c
    ${joinReader(sql, caller)}
    left join lateral (
      select m.pin_seq, ${messageColumns(sql)}
      from messages m
      where m.channel_id = c.id
        and m.tenant_id = ${tenantId}
        and m.pin_seq is not null
        ${before === null ? sql`` : sql`and m.pin_seq < ${before}`}
      order by m.pin_seq desc
      limit ${limit}
    ) as pinned on true
    where c.id = ${channelId}
      and c.tenant_id = ${tenantId}
      and c.deleted_at is null
    order by pinned.pin_seq desc
  `;
}
