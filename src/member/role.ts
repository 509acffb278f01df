import type { PendingQuery } from 'postgres';
import type { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { SystemNoticeKind } from '#gen/serp/discuss/v1/message_pb.ts';
import { isManager, lockVisible, rejectArchived, rejectDirect, requireRole } from '../channel/access.ts';
import type { Sql } from '../db/types.ts';
import type { Deps } from '../deps.ts';
import { appendEvent } from '../event/log/sql.ts';
import type { MemberRow, Role } from '../membership/sql.ts';
import { toMember, toRole, toRoleColumn } from '../membership/view.ts';
import { postNotices } from '../notice/sql.ts';
import type { Handlers } from '../rpc/call.ts';
import { errors } from '../rpc/errors.ts';
import { toMembersChanged } from './view.ts';

type RoleHandlers = Pick<Handlers<typeof MemberService>, 'updateMemberRole' | 'transferOwnership'>;

export function roleHandlers({ config, db, relay }: Deps): RoleHandlers {
  return {
    async updateMemberRole({ channelId, userId: memberId, role }, call) {
      const { caller } = call;
      const { tenantId, userId } = caller;
      const wanted = toRoleColumn(role);
      const { member, events } = await db.transaction(call, async (sql) => {
        const channel = await lockVisible(sql, call.caller, channelId);
        requireRole(call.caller, channel, 'GUEST');
        rejectDirect(channel);
        requireRole(call.caller, channel, 'ADMIN');
        rejectArchived(channel);
        const [before] = await findMemberRole(sql, tenantId, channelId, memberId);
        if (before === undefined) throw errors.memberNotFound();
        requireRole(call.caller, channel, before.role);
        requireRole(call.caller, channel, wanted);
        if (before.role === wanted) return { member: before, events: [] };
        if (before.isOnlyOwner) throw errors.lastOwner();
        const [member] = await updateRole(sql, tenantId, channelId, memberId, wanted);
        if (member === undefined) throw errors.memberNotFound();
        const notice = { kind: SystemNoticeKind.ROLE_CHANGED, userIds: [memberId], role: toRole(wanted) };
        const events = await Promise.all([
          appendEvent(
            sql,
            channelId,
            'MEMBERS_CHANGED',
            userId,
            toMembersChanged(channelId, userId, [member]),
          ),
          ...postNotices({ sql, caller, config }, channelId, notice),
        ]);
        return { member, events: events.flat() };
      });
      relay.publish(events);
      return { member: toMember(member) };
    },

    async transferOwnership({ channelId, userId: memberId }, call) {
      const { caller } = call;
      const { tenantId, userId } = caller;
      if (memberId === userId) throw errors.fieldInvalid('user_id', 'is the caller');
      const { members, events } = await db.transaction(call, async (sql) => {
        const channel = await lockVisible(sql, call.caller, channelId);
        requireRole(call.caller, channel, 'GUEST');
        rejectDirect(channel);
        requireRole(call.caller, channel, 'OWNER');
        rejectArchived(channel);
        const [before] = await findMemberRole(sql, tenantId, channelId, memberId);
        if (before === undefined) throw errors.memberNotFound();
        const from = isManager(call.caller) ? undefined : userId;
        const changed = await updateOwner(sql, tenantId, channelId, memberId, from);
        if (changed.length === 0) return { members: [], events: [] };
        const members = changed.toSorted((a, b) => (a.userId < b.userId ? -1 : 1));
        const event = toMembersChanged(channelId, userId, members);
        const notice = { kind: SystemNoticeKind.OWNERSHIP_TRANSFERRED, userIds: [memberId] };
        const events = await Promise.all([
          appendEvent(sql, channelId, 'MEMBERS_CHANGED', userId, event),
          ...postNotices({ sql, caller, config }, channelId, notice),
        ]);
        return { members, events: events.flat() };
      });
      relay.publish(events);
      return { changed: members.map(toMember) };
    },
  };
}

type MemberRoleRow = MemberRow & {
  /** Whether the channel has no other owner. */
  readonly isOnlyOwner: boolean;
};

/** The role of a member, before a change. */
function findMemberRole(
  sql: Sql,
  tenantId: bigint,
  channelId: bigint,
  userId: bigint,
): PendingQuery<MemberRoleRow[]> {
  return sql<MemberRoleRow[]>`
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

/** Sets the role of a member. The channel's row must be locked. */
function updateRole(
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
 * Makes a member owner, and makes `from` (undefined: all other owners) admin. Returns the members whose role changed.
 * The channel's row must be locked.
 */
function updateOwner(
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
