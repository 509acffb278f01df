import assert from 'node:assert/strict';
import { ActivityService } from '#gen/serp/discuss/v1/activity_service_pb.ts';
import { Access } from '#gen/serp/discuss/v1/options_pb.ts';
import { binh, type Fixture, SECRET, service } from './fixture.ts';
import { empty, type OutsiderCall, ownData, rejected, type Trial } from './trial.ts';

const { method } = ActivityService;
const { USER, USER_OR_SERVICE, SERVICE } = Access;

export const activityTrials: readonly Trial[] = [
  empty(method.listActivities, {
    access: USER,
    request: () => ({}),
    by: binh,
    shows: ({ activities }, { channelId }) =>
      assert.ok(activities.some((entry) => entry.channelId === channelId && entry.preview === SECRET)),
    without: (response) => ({ ...response, snapshotToken: '' }),
  }),
  rejected(method.listEntityActivities, {
    access: USER_OR_SERVICE,
    request: ({ entityId }) => ({ entity: { type: 'order', id: entityId || 1n } }),
    by: binh,
    victim: ({ topic }) => topic,
    prepare: ({ entityId }, fixture) => recordForEntity(fixture, entityId, 2n),
    shows: ({ activities }) =>
      assert.ok(activities.some(({ userId, description }) => userId === 1n && description === SECRET)),
  }),
  empty(method.getActivityCounts, {
    access: USER,
    request: () => ({}),
    by: binh,
    shows: ({ entries }) => assert.ok(entries.some(({ unreadCount }) => unreadCount > 0)),
    without: (response) => ({ ...response, snapshotToken: '' }),
  }),
  ownData(method.markActivityRead, {
    access: USER,
    request: ({ activityIds }) => ({ activityIds: activityIds.length > 0 ? [...activityIds] : [1n] }),
    by: binh,
    shows: ({ markedCount }, { activityIds }) => assert.equal(markedCount, activityIds.length),
    outsider: ({ markedCount }) => assert.equal(markedCount, 0),
  }),
  ownData(method.markAllActivitiesRead, {
    access: USER,
    request: () => ({}),
    by: binh,
    shows: ({ markedCount }) => assert.ok(markedCount > 0),
    // A former member has activities of its own in the channels that it left.
    outsider: async (_, call) => assert.equal(await countUnread(call), 0),
  }),
  ownData(method.recordActivities, {
    access: SERVICE,
    request: ({ channelId }) => ({
      activities: [{ userIds: [2n], type: 'TASK_ASSIGNED', channelId, description: 'việc mới' }],
    }),
    by: service,
    shows: ({ recordedCount }) => assert.equal(recordedCount, 1),
    outsider: ({ recordedCount }) => assert.equal(recordedCount, 0),
  }),
];

/** Records an activity about an entity for the other member, and one for a user. */
export async function recordForEntity({ app }: Fixture, entityId: bigint, userId: bigint): Promise<void> {
  const entity = { type: 'order', id: entityId };
  const activities = [1n, userId].map((id) => ({
    userIds: [id],
    type: 'ORDER_PAID',
    entity,
    description: SECRET,
  }));
  await app.client(ActivityService, service).recordActivities({ activities });
}

async function countUnread({ fixture, as }: OutsiderCall): Promise<number> {
  const [row] = await fixture.app.owner<{ count: number }[]>`
    select count(*)::int as count
    from activity_feed
    where tenant_id = ${as.tenantId} and user_id = ${as.userId} and not is_read
  `;
  return row?.count ?? -1;
}
