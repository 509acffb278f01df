import assert from 'node:assert/strict';
import { Access } from '#gen/serp/discuss/v1/options_pb.ts';
import { PresenceStatus } from '#gen/serp/discuss/v1/presence_pb.ts';
import { PresenceService } from '#gen/serp/discuss/v1/presence_service_pb.ts';
import { until } from '../kit/until.ts';
import { ana, binh, SECRET } from './fixture.ts';
import { empty, ownData, rejected, type Trial } from './trial.ts';

const { method } = PresenceService;
const { USER, USER_OR_SERVICE } = Access;
const { ONLINE, BUSY, OFFLINE } = PresenceStatus;

export const presenceTrials: readonly Trial[] = [
  ownData(method.heartbeat, {
    access: USER,
    request: () => ({ device: { id: 'x' } }),
    by: binh,
    shows: ({ status }) => assert.equal(status, ONLINE),
    outsider: ({ status }) => assert.equal(status, ONLINE),
  }),
  ownData(method.setStatus, {
    access: USER,
    request: () => ({ status: OFFLINE, text: 'về rồi' }),
    by: { userId: 6n, tenantId: 1n },
    shows: (response) => assert.equal(response.presence?.text, 'về rồi'),
    outsider: (response, { as }) => assert.equal(response.presence?.userId, as.userId),
  }),
  empty(method.getPresence, {
    access: USER_OR_SERVICE,
    request: () => ({ userIds: [1n] }),
    victim: ({ group }) => group,
    shows: ({ users }) => assert.deepEqual([users[0]?.status, users[0]?.text], [BUSY, SECRET]),
    tenantWide: true,
    otherTenant: { users: [{ userId: 1n, status: OFFLINE }] },
    without: (response) => ({
      ...response,
      users: response.users.map(({ statusOverride: _, ...user }) => ({ ...user, version: 0n })),
    }),
  }),
  empty(method.getOnlineStats, {
    access: USER_OR_SERVICE,
    request: () => ({}),
    victim: ({ group }) => group,
    // The number is that of the last count.
    prepare: (_, { app }) =>
      until(async () => {
        const { onlineUserCount } = await app.client(PresenceService, ana).getOnlineStats({});
        return onlineUserCount !== undefined && onlineUserCount > 0;
      }, 'the count of online users'),
    shows: ({ onlineUserCount = 0 }) => assert.ok(onlineUserCount > 0),
    tenantWide: true,
    otherTenant: { onlineUserCount: 0 },
  }),
  rejected(method.listOnline, {
    access: USER_OR_SERVICE,
    request: ({ channelId }) => ({ channelId }),
    shows: ({ users }) => assert.ok(users.some(({ userId }) => userId === 1n)),
  }),
  rejected(method.startTyping, {
    access: USER,
    request: ({ channelId }) => ({ channelId }),
    shows: ({ expireTime }) => assert.ok(expireTime),
  }),
  rejected(method.stopTyping, {
    access: USER,
    request: ({ channelId }) => ({ channelId }),
    shows: () => {},
  }),
];
