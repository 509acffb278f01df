import type { PendingQuery } from 'postgres';
import type { Sql } from '../db/database.ts';

export type Role = 'GUEST' | 'MEMBER' | 'ADMIN' | 'OWNER';

export type MembershipRow = {
  readonly role: Role;
  readonly joinedAt: bigint;
  readonly lastReadMsgId: bigint | null;
  readonly unreadCount: number;
  readonly isPinned: boolean;
  readonly isMuted: boolean;
  readonly notificationLevel: string;
  /** As text: the driver renames keys inside jsonb. */
  readonly memberMetadata: string | null;
};

export type MemberRow = {
  readonly userId: bigint;
  readonly role: Role;
  readonly joinedAt: bigint;
  readonly nickname: string | null;
};

/**
 * The exact unread number of `channel_members m` in `channels c`, the same as in the view user_channels and in
 * derived_unread(), which is not used here because a function with a sub-select is not inlined.
 */
export function unread(sql: Sql) {
  return sql`
    greatest(
      0,
      c.post_seq - m.read_post_seq - (m.own_posts - m.own_posts_read)
      - (
        select count(*)
        from deleted_posts d
        where d.channel_id = c.id
          and d.tenant_id = c.tenant_id
          and d.post_seq > m.read_post_seq
          and d.sender_id != m.user_id
      )
    )::int
  `;
}

/** Columns of MembershipRow from `channel_members m` and `channels c`. */
export function membershipColumns(sql: Sql) {
  return sql`
    m.role, m.joined_at, m.last_read_msg_id, ${unread(sql)} as unread_count, m.is_pinned, m.is_muted,
    m.notification_level, m.metadata::text as member_metadata
  `;
}

/**
 * Makes users members of a channel, and returns those who were not. Who comes back has the history before
 * them read. The channel's row must be locked, or new.
 */
export function insertMembers(
  sql: Sql,
  tenantId: bigint,
  channelId: bigint,
  userIds: readonly bigint[],
  role: Role,
): PendingQuery<MemberRow[]> {
  return sql<MemberRow[]>`
    insert into channel_members as m
      (channel_id, user_id, tenant_id, role, status, joined_at, last_read_msg_id, read_post_seq,
       created_at, updated_at)
    select
      ${channelId}, u.user_id, ${tenantId}, ${role}, 'ACTIVE', t.now, c.last_message_id, coalesce(c.post_seq, 0),
      t.now, t.now
    from unnest(${sql.array([...userIds], 1016)}) as u(user_id)
    cross join (select now_ms() as now) as t
    -- A new channel has nothing read, and is not to be seen before its first member.
    left join channels c on c.id = ${channelId} and c.tenant_id = ${tenantId}
    order by u.user_id
    on conflict (channel_id, user_id) do update
    set
      role = excluded.role,
      status = excluded.status,
      joined_at = excluded.joined_at,
      left_at = null,
      removed_by = null,
      last_read_msg_id = excluded.last_read_msg_id,
      read_post_seq = excluded.read_post_seq,
      own_posts_read = m.own_posts,
      updated_at = excluded.updated_at
    where m.status in ('LEFT', 'REMOVED')
    returning m.user_id, m.role, m.joined_at, m.metadata ->> 'nickname' as nickname
  `;
}

export type DepartingRow = {
  readonly role: Role;
  /** Whether others would remain without an owner. */
  readonly isLastOwner: boolean;
};

/** A member as seen when they are about to go. */
export function findDeparting(
  sql: Sql,
  tenantId: bigint,
  channelId: bigint,
  userId: bigint,
): PendingQuery<DepartingRow[]> {
  const others = sql`
    select 1
    from channel_members x
    where x.tenant_id = m.tenant_id
      and x.channel_id = m.channel_id
      and x.user_id != m.user_id
      and is_member_status(x.status)
  `;
  return sql<DepartingRow[]>`
    select
      m.role,
      m.role = 'OWNER'
        and exists (${others})
        and not exists (${others} and ${rank(sql, 'x')} = 1) as is_last_owner
    from channel_members m
    where m.channel_id = ${channelId}
      and m.tenant_id = ${tenantId}
      and m.user_id = ${userId}
      and is_member_status(m.status)
  `;
}

/** Ends a membership: LEFT when the member goes, REMOVED when somebody else, perhaps nobody, sends them off. */
export function updateDeparted(
  sql: Sql,
  tenantId: bigint,
  channelId: bigint,
  userId: bigint,
  actorId: bigint,
): PendingQuery<never[]> {
  const left = userId === actorId;
  return sql<never[]>`
    update channel_members m
    set
      status = ${left ? 'LEFT' : 'REMOVED'},
      left_at = t.now,
      removed_by = ${left ? null : actorId},
      updated_at = t.now
    from (select now_ms() as now) as t
    where m.channel_id = ${channelId}
      and m.tenant_id = ${tenantId}
      and m.user_id = ${userId}
      and is_member_status(m.status)
  `;
}

/** Place of a role in the order of lists, as the index idx_channel_members_rank has it. */
function rank(sql: Sql, members: 'm' | 'x') {
  return sql`(case ${sql(members)}.role when 'OWNER' then 1 when 'ADMIN' then 2 when 'MEMBER' then 3 else 4 end)`;
}

export type ListedRow = {
  readonly type: 'DIRECT' | 'GROUP' | 'TOPIC';
  readonly isPrivate: boolean;
  /** Role of the caller; null where they are no member. */
  readonly role: Role | null;
} & (
  | { readonly userId: null }
  | {
      readonly userId: bigint;
      readonly memberRole: Role;
      readonly joinedAt: bigint;
      readonly nickname: string | null;
      /** Place of the role in the order of the list. */
      readonly rank: number;
    }
);

/**
 * Members of a channel by role, then by user id, after a place in that order. No row when there is no such
 * channel; one without member when there is none to list.
 */
export function listMembers(
  sql: Sql,
  tenantId: bigint,
  userId: bigint,
  channelId: bigint,
  after: { readonly rank: bigint; readonly userId: bigint },
  limit: number,
): PendingQuery<ListedRow[]> {
  return sql<ListedRow[]>`
    select c.type, c.is_private, me.role, page.*
    from channels c
    left join channel_members me
      on me.channel_id = c.id
      and me.tenant_id = c.tenant_id
      and me.user_id = ${userId}
      and is_member_status(me.status)
    left join lateral (
      select
        m.user_id, m.role as member_role, m.joined_at, m.metadata ->> 'nickname' as nickname,
        ${rank(sql, 'm')} as rank
      from channel_members m
      where m.tenant_id = ${tenantId}
        and m.channel_id = ${channelId}
        and is_member_status(m.status)
        and (${rank(sql, 'm')}, m.user_id) > (${after.rank}::int, ${after.userId})
      order by ${rank(sql, 'm')}, m.user_id
      limit ${limit}
    ) as page on true
    where c.id = ${channelId}
      and c.tenant_id = ${tenantId}
      and c.deleted_at is null
    order by page.rank, page.user_id
  `;
}

export type StateRow = MembershipRow & { readonly channelId: bigint; readonly headSeq: bigint };

/** Where the user's channels stand, those named or all, the one with the latest message first. */
export function findChannelStates(
  sql: Sql,
  tenantId: bigint,
  userId: bigint,
  channelIds: readonly bigint[] | undefined,
  limit: number,
): PendingQuery<StateRow[]> {
  return sql<StateRow[]>`
    select c.id as channel_id, c.event_seq as head_seq, ${membershipColumns(sql)}
    from channel_members m
    join channels c on c.id = m.channel_id and c.tenant_id = m.tenant_id
    where m.tenant_id = ${tenantId}
      and m.user_id = ${userId}
      and is_member_status(m.status)
      and c.deleted_at is null
      ${channelIds === undefined ? sql`` : sql`and m.channel_id = any(${sql.array([...channelIds], 1016)})`}
    order by c.last_message_at desc nulls last, c.id desc
    limit ${limit}
  `;
}
