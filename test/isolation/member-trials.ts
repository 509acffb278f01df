import assert from 'node:assert/strict';
import { MemberRole } from '#gen/serp/discuss/v1/member_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { Access } from '#gen/serp/discuss/v1/options_pb.ts';
import { ana, binh } from './fixture.ts';
import { empty, rejected, type Trial } from './trial.ts';

const { method } = MemberService;
const { USER, USER_OR_SERVICE } = Access;

export const memberTrials: readonly Trial[] = [
  rejected(method.addMembers, {
    access: USER_OR_SERVICE,
    request: ({ channelId }) => ({ channelId, userIds: [3n] }),
    shows: ({ added }) =>
      assert.deepEqual(
        added.map(({ userId }) => userId),
        [3n],
      ),
    publicGroup: 'ROLE_TOO_LOW',
  }),
  rejected(method.joinChannel, {
    access: USER,
    request: ({ channelId }) => ({ channelId }),
    victim: ({ newGroup }) => newGroup(false),
    by: { userId: 6n, tenantId: 1n },
    shows: ({ channel, membership }, { channelId }) => {
      assert.equal(channel?.id, channelId);
      assert.equal(membership?.role, MemberRole.MEMBER);
    },
    publicGroup: 'visible',
  }),
  rejected(method.removeMember, {
    access: USER_OR_SERVICE,
    request: ({ channelId }) => ({ channelId, userId: 2n }),
    shows: async (_, { channelId }, { app }) => {
      const { members } = await app
        .client(MemberService, { userId: 1n, tenantId: 1n })
        .listMembers({ channelId });
      assert.ok(!members.some(({ userId }) => userId === 2n));
    },
    publicGroup: 'ROLE_TOO_LOW',
  }),
  rejected(method.leaveChannel, {
    access: USER,
    request: ({ channelId }) => ({ channelId }),
    by: binh,
    shows: async (_, { channelId }, { app }) => {
      const { members } = await app
        .client(MemberService, { userId: 1n, tenantId: 1n })
        .listMembers({ channelId });
      assert.ok(!members.some(({ userId }) => userId === 2n));
    },
    publicGroup: 'MEMBER_NOT_FOUND',
    emptyForFormerMember: true,
  }),
  rejected(method.updateMemberRole, {
    access: USER_OR_SERVICE,
    request: ({ channelId }) => ({ channelId, userId: 2n, role: MemberRole.ADMIN }),
    shows: ({ member }) => assert.equal(member?.role, MemberRole.ADMIN),
    publicGroup: 'ROLE_TOO_LOW',
  }),
  rejected(method.restrictMember, {
    access: USER_OR_SERVICE,
    request: ({ channelId }) => ({ channelId, userId: 2n }),
    shows: ({ member }) => assert.equal(member?.restricted, true),
    publicGroup: 'ROLE_TOO_LOW',
  }),
  rejected(method.unrestrictMember, {
    access: USER_OR_SERVICE,
    request: ({ channelId }) => ({ channelId, userId: 2n }),
    prepare: ({ channelId }, { app }) =>
      app.client(MemberService, ana).restrictMember({ channelId, userId: 2n }),
    shows: ({ member }) => assert.equal(member?.restricted, false),
    publicGroup: 'ROLE_TOO_LOW',
  }),
  rejected(method.transferOwnership, {
    access: USER_OR_SERVICE,
    request: ({ channelId }) => ({ channelId, userId: 2n }),
    shows: ({ members }) =>
      assert.deepEqual(
        members.map(({ userId, role }) => [userId, role]),
        [
          [1n, MemberRole.ADMIN],
          [2n, MemberRole.OWNER],
        ],
      ),
    publicGroup: 'ROLE_TOO_LOW',
  }),
  rejected(method.updateMembership, {
    access: USER,
    request: ({ channelId }) => ({ channelId, pinned: true, updateMask: { paths: ['pinned'] } }),
    shows: ({ membership }) => assert.equal(membership?.pinned, true),
    publicGroup: 'MEMBER_NOT_FOUND',
  }),
  rejected(method.listMembers, {
    access: USER_OR_SERVICE,
    request: ({ channelId }) => ({ channelId }),
    shows: ({ members }) =>
      assert.deepEqual(
        members.map(({ userId }) => userId),
        [1n, 2n],
      ),
    publicGroup: 'ROLE_TOO_LOW',
  }),
  rejected(method.markRead, {
    access: USER,
    request: ({ channelId, messageId }) => ({ channelId, messageId }),
    by: binh,
    shows: ({ lastReadMessageId }, { messageId }) => assert.equal(lastReadMessageId, messageId),
    publicGroup: 'MEMBER_NOT_FOUND',
  }),
  rejected(method.markUnread, {
    access: USER,
    request: ({ channelId, messageId }) => ({ channelId, messageId }),
    by: binh,
    prepare: ({ channelId }, { app }) => app.client(MemberService, binh).markRead({ channelId, all: true }),
    shows: ({ unreadCount }) => assert.ok(unreadCount > 0),
    publicGroup: 'MEMBER_NOT_FOUND',
  }),
  rejected(method.listReaders, {
    access: USER_OR_SERVICE,
    request: ({ channelId, messageId }) => ({ channelId, messageId }),
    prepare: ({ channelId }, { app }) => app.client(MemberService, binh).markRead({ channelId, all: true }),
    shows: ({ userIds }) => assert.deepEqual(userIds, [2n]),
    publicGroup: 'ROLE_TOO_LOW',
  }),
  empty(method.getUnreadSummary, {
    access: USER,
    request: () => ({}),
    by: binh,
    shows: ({ entries }, { channelId }) =>
      assert.ok(entries.some((entry) => entry.channelId === channelId && entry.unreadCount > 0)),
  }),
];
