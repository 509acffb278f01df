import type { PendingQuery } from 'postgres';
import type { Sql } from '../db/types.ts';
import { type RestrictionColumns, type Role, restrictionColumns } from '../membership/sql.ts';

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
export function rank(sql: Sql, members: 'm' | 'x') {
  return sql`(case ${sql(members)}.role when 'OWNER' then 1 when 'ADMIN' then 2 when 'MEMBER' then 3 else 4 end)`;
}
