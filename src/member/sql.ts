import type { PendingQuery } from 'postgres';
import type { Visibility } from '../channel/access.ts';
import type { Sql } from '../db/types.ts';
import { type MemberRow, type RestrictionColumns, type Role, restrictionColumns } from '../membership/sql.ts';

export type LeavingMemberRow = RestrictionColumns & {
  readonly role: Role;
  readonly joinedAt: bigint;
  /** False for a former member. */
  readonly isMember: boolean;
  /** Whether the remaining members would have no owner. */
  readonly isLastOwner: boolean;
};

/** The role of a member before the membership ends, or of a former member. */
export function findLeavingMember(
  sql: Sql,
  tenantId: bigint,
  channelId: bigint,
  userId: bigint,
): PendingQuery<LeavingMemberRow[]> {
  const others = sql`
    select 1
    from channel_members x
    where x.tenant_id = m.tenant_id
      and x.channel_id = m.channel_id
      and x.user_id != m.user_id
      and is_member_status(x.status)
  `;
  return sql<LeavingMemberRow[]>`
    select
      m.role,
      m.joined_at,
      ${restrictionColumns(sql)},
      is_member_status(m.status) as is_member,
      m.role = 'OWNER'
        and exists (${others})
        and not exists (${others} and ${rank(sql, 'x')} = 1) as is_last_owner
    from channel_members m
    where m.channel_id = ${channelId}
      and m.tenant_id = ${tenantId}
      and m.user_id = ${userId}
  `;
}

/** Ends a membership: LEFT when the member is the actor, otherwise REMOVED (actor 0n: a service). */
export function updateMembershipEnded(
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

/** Rank of a role in lists, as in the index idx_channel_members_rank. */
function rank(sql: Sql, members: 'm' | 'x') {
  return sql`(case ${sql(members)}.role when 'OWNER' then 1 when 'ADMIN' then 2 when 'MEMBER' then 3 else 4 end)`;
}

export type ListedRow = Visibility &
  (
    | { readonly userId: null }
    | (Omit<MemberRow, 'role'> & {
        readonly memberRole: Role;
        /** Rank of the role in the list. */
        readonly rank: number;
      })
  );

/**
 * Members of a channel by role, then by user id, after a place in that order. No row when the channel does not exist,
 * one row without member when the page is empty.
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
        ${restrictionColumns(sql)}, ${rank(sql, 'm')} as rank
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
