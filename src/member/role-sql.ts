import type { PendingQuery } from 'postgres';
import type { Sql } from '../db/types.ts';
import type { MemberRow, Role } from '../membership/sql.ts';

export type RoledRow = MemberRow & {
  /** Whether nobody else is an owner. */
  readonly isOnlyOwner: boolean;
};

/** A member whose role is about to change. */
export function findRoled(
  sql: Sql,
  tenantId: bigint,
  channelId: bigint,
  userId: bigint,
): PendingQuery<RoledRow[]> {
  return sql<RoledRow[]>`
    select
      m.user_id, m.role, m.joined_at, m.metadata ->> 'nickname' as nickname,
      m.role = 'OWNER'
        and not exists (
          select 1
          from channel_members x
          where x.tenant_id = m.tenant_id
            and x.channel_id = m.channel_id
            and x.user_id != m.user_id
            and x.role = 'OWNER'
            and is_member_status(x.status)
        ) as is_only_owner
    from channel_members m
    where m.channel_id = ${channelId}
      and m.tenant_id = ${tenantId}
      and m.user_id = ${userId}
      and is_member_status(m.status)
  `;
}

/** Gives a member a role. The channel's row must be locked. */
export function updateRole(
  sql: Sql,
  tenantId: bigint,
  channelId: bigint,
  userId: bigint,
  role: Role,
): PendingQuery<MemberRow[]> {
  return sql<MemberRow[]>`
    update channel_members m
    set role = ${role},
        updated_at = now_ms()
    where m.channel_id = ${channelId}
      and m.tenant_id = ${tenantId}
      and m.user_id = ${userId}
      and is_member_status(m.status)
    returning m.user_id, m.role, m.joined_at, m.metadata ->> 'nickname' as nickname
  `;
}

/**
 * Makes a member owner and `from`, or all other owners where it is undefined, admins; those whose role changed. The
 * channel's row must be locked.
 */
export function updateOwner(
  sql: Sql,
  tenantId: bigint,
  channelId: bigint,
  userId: bigint,
  from: bigint | undefined,
): PendingQuery<MemberRow[]> {
  return sql<MemberRow[]>`
    update channel_members m
    set role = case when m.user_id = ${userId} then 'OWNER' else 'ADMIN' end,
        updated_at = now_ms()
    where m.channel_id = ${channelId}
      and m.tenant_id = ${tenantId}
      and is_member_status(m.status)
      and (
        (m.user_id = ${userId} and m.role != 'OWNER')
        or (m.user_id != ${userId} and m.role = 'OWNER' ${from === undefined ? sql`` : sql`and m.user_id = ${from}`})
      )
    returning m.user_id, m.role, m.joined_at, m.metadata ->> 'nickname' as nickname
  `;
}
