import type { PendingQuery } from 'postgres';
import type { Sql } from '../db/types.ts';
import type { Version } from './cache.ts';
import { type MessageRow, messageColumns } from './sql.ts';

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
  page: {
    readonly pivot: bigint;
    readonly older: number;
    readonly newer: number;
    readonly withoutReplies: boolean;
  },
): PendingQuery<HistoryRow[]> {
  const shown = page.withoutReplies ? sql`and (m.parent_id is null or m.also_in_channel)` : sql``;
  return sql<HistoryRow[]>`
    select c.event_seq as head_seq, page.*
    from channels c
    join channel_members me on me.channel_id = c.id
    left join lateral (
      (
        select ${messageColumns(sql)}, false as newer
        from messages m
        where m.channel_id = c.id and m.tenant_id = ${tenantId} and m.id < ${page.pivot} ${shown}
        order by m.id desc
        limit ${page.older}
      )
      union all
      (
        select ${messageColumns(sql)}, true as newer
        from messages m
        where m.channel_id = c.id and m.tenant_id = ${tenantId} and m.id >= ${page.pivot} ${shown}
        order by m.id
        limit ${page.newer}
      )
    ) as page on true
    where c.id = ${channelId}
      and c.tenant_id = ${tenantId}
      and c.deleted_at is null
      and me.user_id = ${userId}
      and me.tenant_id = ${tenantId}
      and is_member_status(me.status)
    order by page.id
  `;
}

export type NewestRow = Version & (MessageRow | { readonly id: null });

/**
 * The newest messages of a channel, latest last, unless its version is the one known. No row at all when the channel
 * is not there for the user; one row without message when there is none, or none is needed.
 */
export function listNewest(
  sql: Sql,
  tenantId: bigint,
  userId: bigint,
  channelId: bigint,
  limit: number,
  known: Version | undefined,
): PendingQuery<NewestRow[]> {
  return sql<NewestRow[]>`
    select c.event_seq as head_seq, state.version, page.*
    from channels c
    join channel_members me on me.channel_id = c.id
    cross join lateral (
      select c.event_seq || '.' || c.unread_version || '.' || database_epoch() as version
      offset 0
    ) as state
    left join lateral (
      select ${messageColumns(sql)}
      from messages m
      where m.channel_id = c.id
        and m.tenant_id = ${tenantId}
        and state.version != ${known?.version ?? ''}
      order by m.id desc
      limit ${limit}
    ) as page on true
    where c.id = ${channelId}
      and c.tenant_id = ${tenantId}
      and c.deleted_at is null
      and me.user_id = ${userId}
      and me.tenant_id = ${tenantId}
      and is_member_status(me.status)
    order by page.id
  `;
}
