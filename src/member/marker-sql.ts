import type { PendingQuery } from 'postgres';
import { markSeen } from '../activity/sql.ts';
import type { Sql } from '../db/types.ts';
import { type Role, unread } from '../membership/sql.ts';

export type MarkerRow = {
  readonly type: 'DIRECT' | 'GROUP' | 'TOPIC';
  readonly isPrivate: boolean;
  readonly role: Role | null;
  /** Whether the message is one of the channel. */
  readonly isThere: boolean;
  readonly moved: boolean;
  readonly lastReadMsgId: bigint | null;
  readonly unreadCount: number;
  /** Activities that were read with their messages. */
  readonly activityIds: bigint[];
};

/**
 * Moves a marker forward to a message, 0n being the newest; no row when there is no such channel.
 *
 * Own messages up to the new marker are counted either from the old marker on or back from the head, whichever
 * is nearer. Everything counted is of one snapshot, in which that number is a fact that no later change alters;
 * the row is then written by greatest(), so that of two moves at once the farther one stands. Its trigger
 * settles unread_count. What the user was told of messages up to it is read with them.
 */
export function updateMarker(
  sql: Sql,
  tenantId: bigint,
  userId: bigint,
  channelId: bigint,
  messageId: bigint,
): PendingQuery<MarkerRow[]> {
  return sql<MarkerRow[]>`
    with here as materialized (
      select
        c.id as channel_id, c.type, c.is_private, c.post_seq as head, c.last_message_id as head_id,
        m.role, m.read_post_seq as marker, m.last_read_msg_id as marker_id, m.own_posts, m.own_posts_read,
        ${unread(sql)} as unread_count
      from channels c
      left join channel_members m
        on m.channel_id = c.id
        and m.tenant_id = c.tenant_id
        and m.user_id = ${userId}
        and is_member_status(m.status)
      where c.id = ${channelId}
        and c.tenant_id = ${tenantId}
        and c.deleted_at is null
    ),
    target as materialized (
      select x.id, x.post_seq
      from messages x
      where x.id = ${messageId}
        and x.channel_id = ${channelId}
        and x.tenant_id = ${tenantId}
      union all
      select h.head_id, h.head
      from here h
      where ${messageId}::bigint = 0
    ),
    span as materialized (
      select
        h.*, t.id as target_id, t.post_seq as target,
        case when s.forward then h.marker else t.post_seq end as low,
        case when s.forward then coalesce(h.marker_id, 0) else t.id end as low_id,
        case when s.forward then t.post_seq else h.head end as high,
        case when s.forward then t.id else h.head_id end as high_id,
        s.forward
      from here h
      cross join target t
      cross join lateral (select t.post_seq - h.marker <= h.head - t.post_seq as forward) as s
      where h.role is not null
        and t.post_seq > h.marker
    ),
    counted as materialized (
      select
        s.channel_id, s.target_id, s.target,
        case when s.forward then s.own_posts_read + o.posts else s.own_posts - o.posts end as own_posts_read
      from span s
      cross join lateral (
        select
          (
            select count(*)
            from messages x
            where x.channel_id = s.channel_id
              and x.tenant_id = ${tenantId}
              and x.sender_id = ${userId}
              and x.id > s.low_id
              and x.id <= s.high_id
              and not x.is_deleted
          ) + (
            select count(*)
            from deleted_posts d
            where d.channel_id = s.channel_id
              and d.tenant_id = ${tenantId}
              and d.sender_id = ${userId}
              and d.post_seq > s.low
              and d.post_seq <= s.high
          ) as posts
      ) as o
    ),
    moved as (
      update channel_members m
      set
        last_read_msg_id = greatest(m.last_read_msg_id, n.target_id),
        read_post_seq = greatest(m.read_post_seq, n.target),
        own_posts_read = greatest(m.own_posts_read, n.own_posts_read)
      from counted n
      where m.channel_id = n.channel_id
        and m.tenant_id = ${tenantId}
        and m.user_id = ${userId}
        and is_member_status(m.status)
      returning m.last_read_msg_id, m.unread_count
    ),
    ${markSeen(
      sql,
      tenantId,
      userId,
      channelId,
      sql`(
        select coalesce(moved.last_read_msg_id, h.marker_id)
        from here h
        left join moved on true
        where h.role is not null
      )`,
    )}
    select
      h.type, h.is_private,
      -- A membership that ended while its row was waited for.
      case when moved.unread_count is null and exists (select 1 from counted) then null else h.role end as role,
      exists (select 1 from target) as is_there,
      moved.unread_count is not null as moved,
      coalesce(moved.last_read_msg_id, h.marker_id) as last_read_msg_id,
      coalesce(moved.unread_count, h.unread_count) as unread_count,
      array(select s.id from seen_activities s) as activity_ids
    from here h
    left join moved on true
  `;
}

/**
 * Moves a marker back to before a message; no row when there is no such channel. The number of own messages before
 * it is counted back from the marker in one snapshot, where it is a fact as in `updateMarker`.
 */
export function updateMarkerBack(
  sql: Sql,
  tenantId: bigint,
  userId: bigint,
  channelId: bigint,
  messageId: bigint,
): PendingQuery<MarkerRow[]> {
  return sql<MarkerRow[]>`
    with here as materialized (
      select
        c.id as channel_id, c.type, c.is_private,
        m.role, m.read_post_seq as marker, m.last_read_msg_id as marker_id, m.own_posts_read,
        ${unread(sql)} as unread_count
      from channels c
      left join channel_members m
        on m.channel_id = c.id
        and m.tenant_id = c.tenant_id
        and m.user_id = ${userId}
        and is_member_status(m.status)
      where c.id = ${channelId}
        and c.tenant_id = ${tenantId}
        and c.deleted_at is null
    ),
    target as materialized (
      select
        x.id,
        x.post_seq,
        (
          select max(b.id)
          from messages b
          where b.channel_id = ${channelId}
            and b.tenant_id = ${tenantId}
            and b.id < ${messageId}
        ) as id_before
      from messages x
      where x.id = ${messageId}
        and x.channel_id = ${channelId}
        and x.tenant_id = ${tenantId}
    ),
    counted as materialized (
      select h.channel_id, t.post_seq - 1 as target, t.id_before, h.own_posts_read - o.posts as own_posts_read
      from here h
      cross join target t
      cross join lateral (
        select
          (
            select count(*)
            from messages x
            where x.channel_id = h.channel_id
              and x.tenant_id = ${tenantId}
              and x.sender_id = ${userId}
              and x.id >= t.id
              and x.id <= h.marker_id
              and not x.is_deleted
          ) + (
            select count(*)
            from deleted_posts d
            where d.channel_id = h.channel_id
              and d.tenant_id = ${tenantId}
              and d.sender_id = ${userId}
              and d.post_seq >= t.post_seq
              and d.post_seq <= h.marker
          ) as posts
      ) as o
      where h.role is not null
        and t.post_seq <= h.marker
    ),
    moved as (
      update channel_members m
      set
        last_read_msg_id = n.id_before,
        read_post_seq = n.target,
        own_posts_read = n.own_posts_read
      from counted n
      where m.channel_id = n.channel_id
        and m.tenant_id = ${tenantId}
        and m.user_id = ${userId}
        and is_member_status(m.status)
        -- As it is once it was waited for: of two moves back at once the farther one stands.
        and m.read_post_seq > n.target
      returning m.last_read_msg_id, m.unread_count
    )
    select
      h.type, h.is_private, h.role,
      exists (select 1 from target) as is_there,
      moved.unread_count is not null as moved,
      case when moved.unread_count is null then h.marker_id else moved.last_read_msg_id end as last_read_msg_id,
      coalesce(moved.unread_count, h.unread_count) as unread_count,
      '{}'::bigint[] as activity_ids
    from here h
    left join moved on true
  `;
}
