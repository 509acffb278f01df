import type { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { SystemNoticeKind } from '#gen/serp/discuss/v1/message_pb.ts';
import { recordAdditions } from '../activity/sql.ts';
import { signalActivities } from '../activity/view.ts';
import {
  lockIfFound,
  lockToJoin,
  lockVisible,
  rejectArchived,
  rejectDirect,
  rejectOverfull,
  requireRole,
  requireVisible,
} from '../channel/access.ts';
import { findChannel } from '../channel/sql.ts';
import { toChannel } from '../channel/view.ts';
import type { Deps } from '../deps.ts';
import { appendEvent } from '../event/log/sql.ts';
import { insertMembers } from '../membership/sql.ts';
import { memberEtag, toMember, toMembership, toMembersJoined, toRoleColumn } from '../membership/view.ts';
import { postNotices } from '../notice/sql.ts';
import type { Handlers } from '../rpc/call.ts';
import { errors } from '../rpc/errors.ts';
import { requireEtag } from '../rpc/etag.ts';
import type { UnreadCache } from './cache.ts';
import { listHandlers } from './list.ts';
import { markerHandlers } from './marker.ts';
import { readerHandlers } from './readers.ts';
import { restrictionHandlers } from './restriction.ts';
import { roleHandlers } from './role.ts';
import { settingsHandlers } from './settings.ts';
import { findLeavingMember, updateMembershipEnded } from './sql.ts';
import { unreadHandlers } from './unread.ts';
import { toMemberLeft } from './view.ts';

export type MemberDeps = Deps & { readonly unreadCache: UnreadCache };

export function memberRoutes(deps: MemberDeps): Handlers<typeof MemberService> {
  const { config } = deps;
  return {
    ...roleHandlers(deps),
    ...restrictionHandlers(deps),
    ...settingsHandlers(deps),
    ...markerHandlers(deps),
    ...listHandlers(deps),
    ...readerHandlers(deps),
    ...unreadHandlers(deps),

    async addMembers({ channelId, userIds, role }, call) {
      const { caller } = call;
      const { tenantId, userId } = caller;
      const wanted = toRoleColumn(role);
      const users = await deps.directory.lookUp(call, userIds);
      const { added, events, recorded } = await deps.db.lockingTransaction(call, channelId, async (sql) => {
        const channel = await lockVisible(sql, call.caller, channelId);
        requireRole(call.caller, channel, 'GUEST');
        rejectDirect(channel);
        requireRole(call.caller, channel, channel.isPrivate ? 'ADMIN' : 'MEMBER');
        requireRole(call.caller, channel, wanted);
        rejectArchived(channel);
        const added = await insertMembers(sql, tenantId, channelId, [...new Set(userIds)], wanted);
        if (added.length === 0) return { added, events: [], recorded: [] };
        rejectOverfull(config, channel.memberCount + added.length);
        const joined = toMembersJoined(channelId, userId, added);
        const addedIds = added.map((member) => member.userId);
        users.require(addedIds);
        const notice = { kind: SystemNoticeKind.MEMBERS_ADDED, userIds: addedIds };
        const [recorded, ...events] = await Promise.all([
          recordAdditions(sql, channelId, addedIds, caller.name),
          appendEvent(sql, channelId, 'MEMBERS_JOINED', userId, joined),
          ...postNotices({ sql, caller, config }, channelId, notice),
        ]);
        return { added, events: events.flat(), recorded };
      });
      deps.relay.publish(call.caller.tenantId, events);
      signalActivities(deps.relay, recorded[0]?.activities);
      return { added: added.map(toMember) };
    },

    async joinChannel({ channelId }, call) {
      const { caller } = call;
      const { tenantId, userId } = caller;
      const users = await deps.directory.lookUp(call, [userId]);
      const { channel, events } = await deps.db.lockingTransaction(call, channelId, async (sql) => {
        const channel = await lockToJoin(sql, call.caller, channelId);
        if (channel.role !== null) return { channel, events: [] };
        rejectArchived(channel);
        rejectOverfull(config, channel.memberCount + 1);
        users.require([userId]);
        const [added, [joined]] = await Promise.all([
          insertMembers(sql, tenantId, channelId, [userId], 'MEMBER'),
          findChannel(sql, tenantId, userId, channelId),
        ]);
        if (joined === undefined || joined.role === null) throw errors.channelNotFound();
        const events = await Promise.all([
          appendEvent(sql, channelId, 'MEMBERS_JOINED', userId, toMembersJoined(channelId, userId, added)),
          ...postNotices({ sql, caller, config }, channelId, { kind: SystemNoticeKind.MEMBER_JOINED }),
        ]);
        return { channel: joined, events: events.flat() };
      });
      deps.relay.publish(call.caller.tenantId, events);
      return { channel: toChannel(channel), membership: toMembership(channelId, channel) };
    },

    async removeMember({ channelId, userId: memberId, etag }, call) {
      const { caller } = call;
      const { tenantId, userId } = caller;
      if (memberId === userId) throw errors.fieldInvalid('user_id', 'is the caller: use LeaveChannel');
      const events = await deps.db.lockingTransaction(call, channelId, async (sql) => {
        const channel = await lockVisible(sql, call.caller, channelId);
        requireRole(call.caller, channel, 'GUEST');
        rejectDirect(channel);
        requireRole(call.caller, channel, 'ADMIN');
        const [member] = await findLeavingMember(sql, tenantId, channelId, memberId);
        if (member === undefined) throw errors.memberNotFound();
        if (!member.isMember) return [];
        requireRole(call.caller, channel, member.role);
        requireEtag(etag, memberEtag(member));
        if (member.isLastOwner) throw errors.lastOwner();
        const notice = { kind: SystemNoticeKind.MEMBER_REMOVED, userIds: [memberId] };
        const [, ...events] = await Promise.all([
          updateMembershipEnded(sql, tenantId, channelId, memberId, userId),
          appendEvent(sql, channelId, 'MEMBER_LEFT', userId, toMemberLeft(channelId, userId, memberId)),
          ...postNotices({ sql, caller, config }, channelId, notice),
        ]);
        return events.flat();
      });
      deps.relay.publish(call.caller.tenantId, events);
      return {};
    },

    async leaveChannel({ channelId }, call) {
      const { caller } = call;
      const { tenantId, userId } = caller;
      const events = await deps.db.lockingTransaction(call, channelId, async (sql) => {
        const found = await lockIfFound(sql, call.caller, channelId);
        const [member] = await findLeavingMember(sql, tenantId, channelId, userId);
        // Before the check of visibility: a former member does not see a private channel.
        if (member?.isMember === false) return [];
        const channel = requireVisible(call.caller, found);
        if (member === undefined) throw errors.memberNotFound();
        rejectDirect(channel);
        if (member.isLastOwner) throw errors.lastOwner();
        const [, ...events] = await Promise.all([
          updateMembershipEnded(sql, tenantId, channelId, userId, userId),
          appendEvent(sql, channelId, 'MEMBER_LEFT', userId, toMemberLeft(channelId, userId, userId)),
          ...postNotices({ sql, caller, config }, channelId, { kind: SystemNoticeKind.MEMBER_LEFT }),
        ]);
        return events.flat();
      });
      deps.relay.publish(call.caller.tenantId, events);
      return {};
    },
  };
}
