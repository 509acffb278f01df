import type { PendingQuery } from 'postgres';
import type { Sql } from '../db/types.ts';
import type { Caller } from '../rpc/call.ts';
import { isManager } from '../rpc/caller.ts';

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
  /** Of the read marker and the settings. */
  readonly memberVersion: number;
} & RestrictionColumns;

export type RestrictionColumns = {
  /** Whether the member may not post, by the clock of the database. */
  readonly isRestricted: boolean;
  /** When the restriction ends, or ended; null if it does not, or without one. */
  readonly restrictedUntil: bigint | null;
};

export type MemberRow = RestrictionColumns & {
  readonly userId: bigint;
  readonly role: Role;
  readonly joinedAt: bigint;
  readonly nickname: string | null;
};

/**
 * The exact unread count of `channel_members m` in `channels c`, as in the view user_channels and in
 * derived_unread(). The function is not used here, as a function with a sub-select is not inlined.
 */
export function unreadCount(sql: Sql) {
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
    m.role, m.joined_at, m.last_read_msg_id, ${unreadCount(sql)} as unread_count, m.is_pinned, m.is_muted,
    m.notification_level, m.metadata::text as member_metadata, m.version as member_version, ${restrictionColumns(sql)}
  `;
}

/** Columns of MemberRow from `channel_members m`. */
export function memberColumns(sql: Sql) {
  return sql`
    m.user_id, m.role, m.joined_at, m.metadata ->> 'nickname' as nickname, ${restrictionColumns(sql)}
  `;
}

/** Columns of RestrictionColumns from `channel_members m`. */
export function restrictionColumns(sql: Sql) {
  return sql`is_restricted(m.status, m.restricted_until) as is_restricted, m.restricted_until`;
}

/**
 * Joins the caller's membership `me` to `channels c`, which leaves out the channels whose content the caller may not
 * read. A manager reads all channels of the tenant, without a membership.
 */
export function joinReader(sql: Sql, caller: Caller) {
  const own = sql`
    channel_members me
      on me.channel_id = c.id
      and me.tenant_id = c.tenant_id
      and me.user_id = ${caller.userId}
      and is_member_status(me.status)
  `;
  return isManager(caller) ? sql`left join ${own}` : sql`join ${own}`;
}

/**
 * Adds users to a channel and returns those who were not members. For a returning member, the existing history is
 * read, and a restriction continues. The channel's row must be locked, or new.
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
    -- No row for a new channel, which is not visible before its first member.
    left join channels c on c.id = ${channelId} and c.tenant_id = ${tenantId}
    order by u.user_id
    on conflict (channel_id, user_id) do update
    set
      role = excluded.role,
      status = case
        when m.restricted_by is not null and coalesce(m.restricted_until > excluded.joined_at, true) then 'MUTED'
        else 'ACTIVE'
      end,
      joined_at = excluded.joined_at,
      left_at = null,
      removed_by = null,
      last_read_msg_id = excluded.last_read_msg_id,
      read_post_seq = excluded.read_post_seq,
      own_posts_read = m.own_posts,
      version = m.version + 1,
      updated_at = excluded.updated_at
    where m.status in ('LEFT', 'REMOVED')
    returning ${memberColumns(sql)}
  `;
}

/**
 * The exact number of messages after a marker that mention the user, from the messages with mentions alone
 * (idx_messages_mentioning).
 */
export function mentionCountAfter(
  sql: Sql,
  tenantId: bigint,
  userId: bigint,
  channelId: PendingQuery<never[]>,
  marker: PendingQuery<never[]>,
) {
  return sql`
    (
      select count(*)
      from messages x
      where x.channel_id = ${channelId}
        and x.tenant_id = ${tenantId}
        and x.id > coalesce(${marker}, 0)
        and x.sender_id != ${userId}
        and not x.is_deleted
        and (x.mentions != '{}' or x.mention_scope = 'CHANNEL')
        and (${userId} = any(x.mentions) or x.mention_scope = 'CHANNEL')
    )::int
  `;
}

export type ChannelStateRow = MembershipRow & { readonly channelId: bigint; readonly headSeq: bigint };

/** States of a user's channels, all or those named, after a channel in ascending order of their ids. */
export function listChannelStates(
  sql: Sql,
  tenantId: bigint,
  userId: bigint,
  channelIds: readonly bigint[] | undefined,
  after: bigint,
  limit: number,
): PendingQuery<ChannelStateRow[]> {
  const named =
    channelIds === undefined ? sql`` : sql`and m.channel_id = any(${sql.array([...channelIds], 1016)})`;
  return sql<ChannelStateRow[]>`
    select c.id as channel_id, c.event_seq as head_seq, ${membershipColumns(sql)}
    from channel_members m
    join channels c on c.id = m.channel_id
    where m.user_id = ${userId}
      and m.tenant_id = ${tenantId}
      and is_member_status(m.status)
      and c.tenant_id = ${tenantId}
      and c.deleted_at is null
      and m.channel_id > ${after}
      ${named}
    order by m.channel_id
    limit ${limit}
  `;
}
