import type { PendingQuery } from 'postgres';
import type { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { SystemNoticeKind } from '#gen/serp/discuss/v1/message_pb.ts';
import { appendAudit } from '../audit/sql.ts';
import { lockVisible, rejectArchived, rejectDirect, requireRole } from '../channel/access.ts';
import type { Config } from '../config.ts';
import type { Sql } from '../db/types.ts';
import type { Deps } from '../deps.ts';
import { appendEvent } from '../event/log/sql.ts';
import type { LoggedEvent } from '../event/log/wire.ts';
import { type MemberRow, memberColumns, type Role } from '../membership/sql.ts';
import { memberEtag, toMember, toRole, toRoleColumn } from '../membership/view.ts';
import { postNotices } from '../notice/sql.ts';
import type { Caller, Handlers } from '../rpc/call.ts';
import { isManager } from '../rpc/caller.ts';
import { errors } from '../rpc/errors.ts';
import { requireEtag } from '../rpc/etag.ts';
import { toAudit, toMembersChanged } from './view.ts';

type RoleHandlers = Pick<Handlers<typeof MemberService>, 'updateMemberRole' | 'transferOwnership'>;

export function roleHandlers({ config, db, relay }: Deps): RoleHandlers {
  return {
    async updateMemberRole({ channelId, userId: memberId, role, etag }, call) {
      const { caller } = call;
      const { tenantId, userId } = caller;
      const wanted = toRoleColumn(role);
      const { member, events } = await db.lockingTransaction(call, channelId, async (sql) => {
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
        requireEtag(etag, memberEtag(before));
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
        const change = { from: before.role, to: wanted };
        await appendAudit(sql, caller, tenantId, 'ROLE_CHANGED', toAudit(channelId, memberId, change));
        return { member, events: events.flat() };
      });
      relay.publish(call.caller.tenantId, events);
      return { member: toMember(member) };
    },

    async transferOwnership({ channelId, userId: memberId }, call) {
      const { caller } = call;
      const { tenantId, userId } = caller;
      if (memberId === userId) throw errors.fieldInvalid('user_id', 'is the caller');
      const { members, events } = await db.lockingTransaction(call, channelId, async (sql) => {
        const events = await transfer({ sql, caller, config }, channelId, memberId);
        return { events, members: await findMembers(sql, tenantId, channelId, [userId, memberId]) };
      });
      relay.publish(call.caller.tenantId, events);
      return { members: members.map(toMember) };
    },
  };
}

type TransactionParts = { readonly sql: Sql; readonly caller: Caller; readonly config: Config };

/** Makes a member the owner, unless an earlier call did. */
async function transfer(
  { sql, caller, config }: TransactionParts,
  channelId: bigint,
  memberId: bigint,
): Promise<LoggedEvent[]> {
  const { tenantId, userId } = caller;
  const channel = await lockVisible(sql, caller, channelId);
  requireRole(caller, channel, 'GUEST');
  rejectDirect(channel);
  const [before] = await findMemberRole(sql, tenantId, channelId, memberId);
  if (channel.role === 'ADMIN' && before?.role === 'OWNER') return [];
  requireRole(caller, channel, 'OWNER');
  rejectArchived(channel);
  if (before === undefined) throw errors.memberNotFound();
  const from = isManager(caller) ? undefined : userId;
  const changed = await updateOwner(sql, tenantId, channelId, memberId, from);
  if (changed.length === 0) return [];
  const members = changed.toSorted((a, b) => (a.userId < b.userId ? -1 : 1));
  const event = toMembersChanged(channelId, userId, members);
  const notice = { kind: SystemNoticeKind.OWNERSHIP_TRANSFERRED, userIds: [memberId] };
  const events = await Promise.all([
    appendEvent(sql, channelId, 'MEMBERS_CHANGED', userId, event),
    ...postNotices({ sql, caller, config }, channelId, notice),
  ]);
  await appendAudit(sql, caller, tenantId, 'OWNERSHIP_TRANSFERRED', toAudit(channelId, memberId));
  return events.flat();
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
      ${memberColumns(sql)},
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

/** The members among these users, in ascending order of their ids. */
function findMembers(
  sql: Sql,
  tenantId: bigint,
  channelId: bigint,
  userIds: readonly bigint[],
): PendingQuery<MemberRow[]> {
  return sql<MemberRow[]>`
    select ${memberColumns(sql)}
    from channel_members m
    where m.channel_id = ${channelId}
      and m.tenant_id = ${tenantId}
      and m.user_id = any(${sql.array([...userIds], 1016)})
      and is_member_status(m.status)
    order by m.user_id
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
    returning ${memberColumns(sql)}
  `;
}

/**
 * Makes a member owner, who may post, and makes `from` (undefined: all other owners) admin. Returns the members whose role changed.
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
        status = case when m.user_id = ${userId} then 'ACTIVE' else m.status end,
        restricted_by = case when m.user_id = ${userId} then null else m.restricted_by end,
        restricted_until = case when m.user_id = ${userId} then null else m.restricted_until end,
        updated_at = now_ms()
    where m.channel_id = ${channelId}
      and m.tenant_id = ${tenantId}
      and is_member_status(m.status)
      and (
        (m.user_id = ${userId} and m.role != 'OWNER')
        or (m.user_id != ${userId} and m.role = 'OWNER' ${from === undefined ? sql`` : sql`and m.user_id = ${from}`})
      )
    returning ${memberColumns(sql)}
  `;
}
