import type { PendingQuery } from 'postgres';
import type { Sql } from '../db/types.ts';
import { joinReader } from '../membership/sql.ts';
import type { Caller } from '../rpc/call.ts';
import { MAX_PAGE_BYTES } from '../rpc/response-size.ts';
import type { Version } from './cache.ts';
import { type MessageRow, messageColumns } from './sql.ts';

// The texts of so many messages have at most 3.3 MB.
const FEW_MESSAGES = 51;

export type HistoryRow = { readonly headSeq: bigint } & (
  | (MessageRow & { readonly newer: boolean })
  | { readonly id: null; readonly newer: null }
);

/**
 * Messages of a channel around a pivot: up to `older` before it and up to `newer` from it on. No row when the
 * caller does not see the channel, one row without message when the page is empty.
 */
export function listHistory(
  sql: Sql,
  caller: Caller,
  channelId: bigint,
  page: {
    readonly pivot: bigint;
    readonly older: number;
    readonly newer: number;
    readonly withoutReplies: boolean;
  },
): PendingQuery<HistoryRow[]> {
  const { tenantId } = caller;
  const shown = page.withoutReplies ? sql`and (m.parent_id is null or m.also_in_channel)` : sql``;
  const visible = sql`m.channel_id = c.id and m.tenant_id = ${tenantId} ${shown}`;
  return sql<HistoryRow[]>`
    select c.event_seq as head_seq, page.*
    from channels c
    ${joinReader(sql, caller)}
    left join lateral (
      (
        select ${messageColumns(sql)}, false as newer
        from ${firstMessages(sql, sql`where ${visible} and m.id < ${page.pivot}`, sql`m.id desc`, page.older)} as m
      )
      union all
      (
        select ${messageColumns(sql)}, true as newer
        from ${firstMessages(sql, sql`where ${visible} and m.id >= ${page.pivot}`, sql`m.id`, page.newer)} as m
      )
    ) as page on true
    where c.id = ${channelId}
      and c.tenant_id = ${tenantId}
      and c.deleted_at is null
    order by page.id
  `;
}

/** The version of a channel's messages. No row when the caller does not see the channel. */
export function findVersion(sql: Sql, caller: Caller, channelId: bigint): PendingQuery<Version[]> {
  return sql<Version[]>`
    select c.event_seq as head_seq, ${versionColumn(sql)} as version
    from channels c
    ${joinReader(sql, caller)}
    where c.id = ${channelId}
      and c.tenant_id = ${caller.tenantId}
      and c.deleted_at is null
  `;
}

export type NewestRow = Version & (MessageRow | { readonly id: null });

/**
 * The newest messages of a channel, oldest first. No row when the caller does not see the channel, one row without message
 * when there is none.
 */
export function listNewest(
  sql: Sql,
  caller: Caller,
  channelId: bigint,
  limit: number,
): PendingQuery<NewestRow[]> {
  const { tenantId } = caller;
  return sql<NewestRow[]>`
    select c.event_seq as head_seq, state.version, page.*
    from channels c
    ${joinReader(sql, caller)}
    cross join lateral (select ${versionColumn(sql)} as version offset 0) as state
    left join lateral (
      select ${messageColumns(sql)}
      from ${firstMessages(sql, sql`where m.channel_id = c.id and m.tenant_id = ${tenantId}`, sql`m.id desc`, limit)} as m
    ) as page on true
    where c.id = ${channelId}
      and c.tenant_id = ${tenantId}
      and c.deleted_at is null
    order by page.id
  `;
}

function versionColumn(sql: Sql) {
  return sql`c.event_seq || '.' || c.unread_version || '.' || database_epoch()`;
}

/**
 * The first messages in an order, as a table. Of many messages, those behind the first that exceeds a response are left out,
 * before their texts are read: the page ends there. For few, counting the bytes would cost a tenth of the statement.
 */
function firstMessages(
  sql: Sql,
  where: PendingQuery<never[]>,
  order: PendingQuery<never[]>,
  limit: number,
): PendingQuery<never[]> {
  if (limit <= FEW_MESSAGES)
    return sql`(select m.* from messages m ${where} order by ${order} limit ${limit})`;
  return sql`
    (
      select n.*
      from (
        select
          m.*,
          sum(case when m.is_deleted then 0 else octet_length(m.content) + coalesce(octet_length(m.encrypted_content), 0) end)
            over (order by ${order} rows between unbounded preceding and 1 preceding) as earlier_bytes
        from messages m
        ${where}
        order by ${order}
        limit ${limit}
      ) as n
      where n.earlier_bytes is null
        or n.earlier_bytes <= ${MAX_PAGE_BYTES}
    )
  `;
}
