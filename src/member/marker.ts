import type { PendingQuery } from 'postgres';
import type { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { markSeen } from '../activity/sql.ts';
import { signalRead } from '../activity/view.ts';
import { requireVisible, type Visibility } from '../channel/access.ts';
import type { Sql } from '../db/types.ts';
import type { Deps } from '../deps.ts';
import { unreadCount } from '../membership/sql.ts';
import type { Call, Handlers } from '../rpc/call.ts';
import { errors } from '../rpc/errors.ts';

type MarkerHandlers = Pick<Handlers<typeof MemberService>, 'markRead' | 'markUnread'>;

export function markerHandlers(deps: Deps): MarkerHandlers {
  return {
    markRead: (request, call) => moveMarker(deps, call, request, updateMarkerForward),
    markUnread: (request, call) => moveMarker(deps, call, request, updateMarkerBack),
  };
}

async function moveMarker(
  { db, relay }: Deps,
  call: Call,
  { channelId, messageId }: { readonly channelId: bigint; readonly messageId: bigint },
  update: typeof updateMarkerForward,
) {
  const { tenantId, userId } = call.caller;
  const [found] = await db.run(call, (sql) => update(sql, tenantId, userId, channelId, messageId));
  const marker = requireVisible(call.caller, found);
  if (marker.role === null) throw errors.memberNotFound();
  if (!marker.messageExists) throw errors.messageNotFound();
  const { lastReadMsgId, unreadCount, version } = marker;
  const state = { lastReadMessageId: lastReadMsgId ?? 0n, unreadCount, version };
  if (marker.moved)
    relay.signal(tenantId, userId, { case: 'readMarkerMoved', value: { channelId, ...state } });
  signalRead(relay, call.caller, marker.activityIds);
  return state;
}

type MarkerRow = Visibility & {
  readonly messageExists: boolean;
  readonly moved: boolean;
  readonly lastReadMsgId: bigint | null;
  readonly unreadCount: number;
  readonly version: number;
  /** Activities that became read with their messages. */
  readonly activityIds: bigint[];
};

/**
 * Moves a marker forward to a message, 0n being the newest; no row when there is no such channel. Also marks the
 * user's activities about messages up to it as read.
 *
 * Own messages up to the new marker are counted from the old marker on or back from the head, whichever is nearer.
 * One snapshot gives all counts, and no later change alters them. The row is then written by greatest(), so that of
 * two concurrent moves the farther one stands. Its trigger updates unread_count.
 */
function updateMarkerForward(
  sql: Sql,
  tenantId: bigint,
  userId: bigint,
  channelId: bigint,
  messageId: bigint,
): PendingQuery<MarkerRow[]> {
  return sql<MarkerRow[]>`
    with ${markerState(sql, tenantId, userId, channelId)},
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
      cross join lateral (select ${ownPosts(sql, tenantId, userId)} as posts) as o
    ),
    moved as (
      update channel_members m
      set
        last_read_msg_id = greatest(m.last_read_msg_id, n.target_id),
        read_post_seq = greatest(m.read_post_seq, n.target),
        own_posts_read = greatest(m.own_posts_read, n.own_posts_read),
        version = m.version + 1
      from counted n
      where m.channel_id = n.channel_id
        and m.tenant_id = ${tenantId}
        and m.user_id = ${userId}
        and is_member_status(m.status)
      returning m.last_read_msg_id, m.unread_count, m.version
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
      -- Null when the membership ended while the update waited for its row.
      case when moved.unread_count is null and exists (select 1 from counted) then null else h.role end as role,
      exists (select 1 from target) as message_exists,
      moved.unread_count is not null as moved,
      coalesce(moved.last_read_msg_id, h.marker_id) as last_read_msg_id,
      coalesce(moved.unread_count, h.unread_count) as unread_count,
      coalesce(moved.version, h.version) as version,
      array(select s.id from seen_activities s) as activity_ids
    from here h
    left join moved on true
  `;
}

/**
 * Moves a marker back to before a message; no row when there is no such channel. The number of own messages before
 * it is counted back from the marker, in one snapshot as in `updateMarkerForward`.
 */
function updateMarkerBack(
  sql: Sql,
  tenantId: bigint,
  userId: bigint,
  channelId: bigint,
  messageId: bigint,
): PendingQuery<MarkerRow[]> {
  return sql<MarkerRow[]>`
    with ${markerState(sql, tenantId, userId, channelId)},
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
        select h.channel_id, t.post_seq - 1 as low, t.id - 1 as low_id, h.marker as high, h.marker_id as high_id
      ) as s
      cross join lateral (select ${ownPosts(sql, tenantId, userId)} as posts) as o
      where h.role is not null
        and t.post_seq <= h.marker
    ),
    moved as (
      update channel_members m
      set
        last_read_msg_id = n.id_before,
        read_post_seq = n.target,
        own_posts_read = n.own_posts_read,
        version = m.version + 1
      from counted n
      where m.channel_id = n.channel_id
        and m.tenant_id = ${tenantId}
        and m.user_id = ${userId}
        and is_member_status(m.status)
        -- Checked once the row is locked: of two concurrent moves back the farther one stands.
        and m.read_post_seq > n.target
      returning m.last_read_msg_id, m.unread_count, m.version
    )
    select
      h.type, h.is_private, h.role,
      exists (select 1 from target) as message_exists,
      moved.unread_count is not null as moved,
      case when moved.unread_count is null then h.marker_id else moved.last_read_msg_id end as last_read_msg_id,
      coalesce(moved.unread_count, h.unread_count) as unread_count,
      coalesce(moved.version, h.version) as version,
      '{}'::bigint[] as activity_ids
    from here h
    left join moved on true
  `;
}

/** For `with`: a channel and the user's marker in it; no row when there is no such channel. */
function markerState(sql: Sql, tenantId: bigint, userId: bigint, channelId: bigint) {
  return sql`
    here as materialized (
      select
        c.id as channel_id, c.type, c.is_private, c.post_seq as head, c.last_message_id as head_id,
        m.role, m.read_post_seq as marker, m.last_read_msg_id as marker_id, m.own_posts, m.own_posts_read, m.version,
        ${unreadCount(sql)} as unread_count
      from channels c
      left join channel_members m
        on m.channel_id = c.id
        and m.tenant_id = c.tenant_id
        and m.user_id = ${userId}
        and is_member_status(m.status)
      where c.id = ${channelId}
        and c.tenant_id = ${tenantId}
        and c.deleted_at is null
    )
  `;
}

/** The number of the user's own posts in `s`: after (low, low_id) and up to (high, high_id), deleted ones included. */
function ownPosts(sql: Sql, tenantId: bigint, userId: bigint) {
  return sql`
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
    )
  `;
}
