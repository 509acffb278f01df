import type { PendingQuery } from 'postgres';
import { markSeen } from '../activity/sql.ts';
import type { Sql } from '../db/types.ts';
import { joinReader } from '../membership/sql.ts';
import { type MessageRow, messageColumns } from '../message/sql.ts';
import type { Caller } from '../rpc/call.ts';

/** The caller's state in a thread; nulls when the caller never followed it. */
export type StateRow = {
  readonly isFollowing: boolean | null;
  readonly readReplyId: bigint | null;
  readonly unreadCount: number;
};

/** Columns of StateRow from `thread_followers f` and the caller's `channel_members me`. */
function stateColumns(sql: Sql) {
  return sql`
    f.is_following, f.read_reply_id,
    case when f.is_following then thread_unread(f.root_id, f.user_id, f.read_reply_id, me.joined_at) else 0 end
      as unread_count
  `;
}

export type ThreadRow = StateRow & { readonly headSeq: bigint } & (MessageRow | { readonly id: null });

/**
 * Replies of a thread after one, oldest first; with `after` 0, the root message before them. No row when the caller
 * does not see the thread, one row without message when the page is empty.
 */
export function listThread(
  sql: Sql,
  caller: Caller,
  thread: { readonly channelId: bigint; readonly rootMessageId: bigint },
  after: bigint,
  limit: number,
): PendingQuery<ThreadRow[]> {
  const { tenantId, userId } = caller;
  return sql<ThreadRow[]>`
    select c.event_seq as head_seq, ${stateColumns(sql)}, page.*
    from channels c
    ${joinReader(sql, caller)}
    join messages root on root.channel_id = c.id
    left join thread_followers f on f.tenant_id = ${tenantId} and f.root_id = root.id and f.user_id = ${userId}
    left join lateral (
      (
        select ${messageColumns(sql)}
        from messages m
        where m.id = root.id and ${after}::bigint = 0
      )
      union all
      (
        select ${messageColumns(sql)}
        from messages m
        where m.parent_id = root.id and m.tenant_id = ${tenantId} and m.id > ${after}
        order by m.id
        limit ${limit}
      )
    ) as page on true
    where c.id = ${thread.channelId}
      and c.tenant_id = ${tenantId}
      and c.deleted_at is null
      and root.id = ${thread.rootMessageId}
      and root.tenant_id = ${tenantId}
      and root.parent_id is null
    order by page.id
  `;
}

/** Order keys of the last thread of a page: last_reply_at (-1: none), id. */
export type ThreadPlace = readonly [lastReplyAt: bigint, id: bigint];

/** Threads the user follows, the one with the latest reply first. */
export function listFollowed(
  sql: Sql,
  tenantId: bigint,
  userId: bigint,
  filter: { readonly channelId: bigint; readonly unreadOnly: boolean },
  after: ThreadPlace | undefined,
  limit: number,
): PendingQuery<(MessageRow & StateRow)[]> {
  const place = sql`(coalesce(m.last_reply_at, -1), m.id)`;
  return sql<(MessageRow & StateRow)[]>`
    select ${messageColumns(sql)}, ${stateColumns(sql)}
    from thread_followers f
    join channel_members me on me.channel_id = f.channel_id and me.user_id = f.user_id
    join channels c on c.id = f.channel_id
    join messages m on m.id = f.root_id
    where f.tenant_id = ${tenantId}
      and f.user_id = ${userId}
      and f.is_following
      and is_member_status(me.status)
      and c.tenant_id = ${tenantId}
      and c.deleted_at is null
      and m.tenant_id = ${tenantId}
      and not m.is_deleted
      ${filter.channelId === 0n ? sql`` : sql`and f.channel_id = ${filter.channelId}`}
      ${filter.unreadOnly ? sql`and thread_unread(f.root_id, f.user_id, f.read_reply_id, me.joined_at) > 0` : sql``}
      ${after === undefined ? sql`` : sql`and ${place} < (${after[0]}, ${after[1]})`}
    order by coalesce(m.last_reply_at, -1) desc, m.id desc
    limit ${limit}
  `;
}

export type FollowRow = StateRow & { readonly isDeleted: boolean };

/**
 * Sets whether the user follows a thread. For a new follower, the existing replies are read. A deleted thread cannot
 * be followed. No row when the user does not see the thread.
 */
export function updateFollowing(
  sql: Sql,
  tenantId: bigint,
  userId: bigint,
  thread: { readonly channelId: bigint; readonly rootMessageId: bigint },
  following: boolean,
): PendingQuery<FollowRow[]> {
  return sql<FollowRow[]>`
    with root as materialized (
      select
        m.id, m.channel_id, m.is_deleted, me.joined_at,
        coalesce((select max(r.id) from messages r where r.parent_id = m.id), 0) as last_reply_id
      from messages m
      join channels c on c.id = m.channel_id
      join channel_members me on me.channel_id = m.channel_id
      where m.id = ${thread.rootMessageId}
        and m.channel_id = ${thread.channelId}
        and m.tenant_id = ${tenantId}
        and m.parent_id is null
        and c.deleted_at is null
        and me.user_id = ${userId}
        and me.tenant_id = ${tenantId}
        and is_member_status(me.status)
    ),
    changed as (
      insert into thread_followers as f (tenant_id, root_id, user_id, channel_id, is_following, read_reply_id)
      select ${tenantId}, r.id, ${userId}, r.channel_id, ${following}, r.last_reply_id
      from root r
      where not (r.is_deleted and ${following})
      on conflict (tenant_id, root_id, user_id) do update
      set
        is_following = excluded.is_following,
        read_reply_id = case
          when f.is_following or not excluded.is_following then f.read_reply_id
          else greatest(f.read_reply_id, excluded.read_reply_id)
        end
      returning f.root_id, f.user_id, f.is_following, f.read_reply_id
    )
    select r.is_deleted, me.joined_at, ${stateColumns(sql)}
    from root r
    cross join lateral (select r.joined_at) as me
    left join changed f on f.root_id = r.id
  `;
}

export type ThreadMarkerRow = StateRow & {
  readonly moved: boolean;
  /** Activities that became read with their replies. */
  readonly activityIds: bigint[];
};

/**
 * Moves the user's marker in a followed thread forward to a reply, 0n being the last, and marks activities about
 * replies up to it as read. No row when the user does not follow the thread.
 */
export function updateThreadMarker(
  sql: Sql,
  tenantId: bigint,
  userId: bigint,
  thread: { readonly channelId: bigint; readonly rootMessageId: bigint; readonly messageId: bigint },
): PendingQuery<ThreadMarkerRow[]> {
  return sql<ThreadMarkerRow[]>`
    with before as materialized (
      select f.read_reply_id
      from thread_followers f
      where f.tenant_id = ${tenantId}
        and f.root_id = ${thread.rootMessageId}
        and f.user_id = ${userId}
    ),
    target as materialized (
      select max(r.id) as id
      from messages r
      where r.parent_id = ${thread.rootMessageId}
        and r.channel_id = ${thread.channelId}
        and r.tenant_id = ${tenantId}
        and (r.id = ${thread.messageId} or ${thread.messageId}::bigint = 0)
    ),
    moved as (
      update thread_followers f
      set read_reply_id = greatest(f.read_reply_id, t.id)
      from target t
      where f.tenant_id = ${tenantId}
        and f.root_id = ${thread.rootMessageId}
        and f.channel_id = ${thread.channelId}
        and f.user_id = ${userId}
        and f.is_following
        and exists (
          select 1
          from channels c
          where c.id = f.channel_id
            and c.tenant_id = ${tenantId}
            and c.deleted_at is null
        )
        and (t.id is not null or ${thread.messageId}::bigint = 0)
      returning f.root_id, f.user_id, f.channel_id, f.is_following, f.read_reply_id
    ),
    ${markSeen(
      sql,
      tenantId,
      userId,
      thread.channelId,
      sql`(select m.read_reply_id from moved m)`,
      sql`
        -- These stand for messages outside the thread, too.
        and a.action_type != 'MESSAGE_SENT'
        and exists (
          select 1
          from messages x
          where x.id = a.message_id
            and x.tenant_id = ${tenantId}
            and x.parent_id = ${thread.rootMessageId}
        )
      `,
    )}
    select
      ${stateColumns(sql)},
      f.read_reply_id > (select b.read_reply_id from before b) as moved,
      array(select s.id from seen_activities s) as activity_ids
    from moved f
    join channel_members me on me.channel_id = f.channel_id and me.user_id = f.user_id
    where me.tenant_id = ${tenantId}
      and is_member_status(me.status)
  `;
}
