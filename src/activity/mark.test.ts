import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Code } from '@connectrpc/connect';
import { ActivityService } from '#gen/serp/discuss/v1/activity_service_pb.ts';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { activityFixture } from '../../test/kit/activity-fixture.ts';
import { type App, type As, app } from '../../test/kit/app.ts';
import { rejects } from '../../test/kit/rejects.ts';
import { Subscriber } from '../../test/kit/stream.ts';
import { until } from '../../test/kit/until.ts';

const crm = { userId: 0n, tenantId: 1n, roles: ['discuss.service'] };

describe('activities that are marked as read', () => {
  let the: App;

  before(async () => {
    the = await app();
    await the.start();
  });
  after(() => the.close());

  const { someone, activityClient, messages, list, group, send, mention, task } = activityFixture(() => the);

  it('marks everything in the snapshot as read, and nothing newer', async () => {
    const minh = someone('Minh');
    await activityClient(crm).recordActivities({
      activities: [task([minh]), task([minh], { collapseKey: 'đơn:1' })],
    });
    const { snapshotToken, activities } = await activityClient(minh).listActivities({});
    assert.equal(activities.length, 2);
    await activityClient(crm).recordActivities({
      activities: [task([minh]), task([minh], { collapseKey: 'đơn:1' })],
    });
    assert.equal((await activityClient(minh).markAllActivitiesRead({ snapshotToken })).markedCount, 1);
    assert.equal((await activityClient(minh).markAllActivitiesRead({ snapshotToken })).markedCount, 0);
    assert.deepEqual(
      (await list(minh))
        .filter(({ read }) => !read)
        .map(({ count }) => count)
        .sort(),
      [1, 2],
    );
    const counts = await activityClient(minh).getActivityCounts({});
    assert.equal(
      (await activityClient(minh).markAllActivitiesRead({ snapshotToken: counts.snapshotToken })).markedCount,
      2,
    );
    assert.equal((await activityClient(minh).getActivityCounts({})).unreadCount, 0);
    for (const bad of [
      'x',
      Buffer.from('5:4:').toString('base64url'),
      Buffer.from('1:9:5,3').toString('base64url'),
    ])
      await rejects(
        activityClient(minh).markAllActivitiesRead({ snapshotToken: bad }),
        Code.InvalidArgument,
        'FIELD_INVALID',
      );
  });

  it('leaves unread what commits after the snapshot, though it happened before', async () => {
    const minh = someone('Minh');
    let snapshotToken = '';
    await the.owner.begin(async (sql) => {
      await sql`
        insert into activity_feed
          (tenant_id, user_id, action_type, actor_id, entity_type, entity_id, description, "timestamp", created_at)
        values (1, ${minh.userId}, 'TASK_ASSIGNED', 0, 'task', 1, 'chậm', now_ms() - 1000, now_ms())
      `;
      await activityClient(crm).recordActivities({ activities: [task([minh])] });
      ({ snapshotToken } = await activityClient(minh).listActivities({}));
    });
    await activityClient(minh).markAllActivitiesRead({ snapshotToken });
    assert.deepEqual(
      (await list(minh)).map(({ description, read }) => `${description} ${read}`),
      ['Việc mới true', 'chậm false'],
    );
    const [first] = await list(minh);
    const upToTime = first?.activityTime;
    assert.ok(upToTime);
    assert.equal((await activityClient(minh).markAllActivitiesRead({ upToTime })).markedCount, 1);
  });

  it('loses no change under concurrent marking as read', async () => {
    const minh = someone('Minh');
    const record = () =>
      activityClient(crm).recordActivities({ activities: [task([minh], { collapseKey: 'k' })] });
    await Promise.all(
      Array.from({ length: 30 }, async (_, index) => {
        await record();
        if (index % 3 === 0) await activityClient(minh).markAllActivitiesRead({});
      }),
    );
    const counts = (await list(minh)).map(({ count }) => count);
    assert.equal(
      counts.reduce((sum, count) => sum + count, 0),
      30,
    );
    assert.ok((await list(minh)).filter(({ read }) => !read).length <= 1);
  });

  it('become read with their messages, up to the marker, on every device', async () => {
    const [lan, minh, thu] = [someone('Lan'), someone('Minh'), someone('Thu')];
    const channelId = await group(lan, minh, thu);
    const elsewhere = await group(lan, minh);
    const own = await send(minh, channelId, 'của Minh');
    await mention(lan, channelId, minh, thu);
    const reply = await send(lan, channelId, 'trả lời', { replyToMessageId: own });
    await messages(thu).addReaction({ channelId, messageId: own, emoji: '👍' });
    const later = await mention(lan, channelId, minh);
    await mention(lan, elsewhere, minh);
    await the.client(ActivityService, crm).recordActivities({ activities: [task([minh], { channelId })] });
    const stream = await new Subscriber(the.client(EventService, minh, 'web', 1)).connect();
    const unread = async (as: As) =>
      (await activityClient(as).listActivities({ unreadOnly: true })).activities.map(
        ({ messageId }) => messageId,
      );
    const members = the.client(MemberService, minh);
    const before = await list(minh);
    await members.markRead({ channelId, messageId: reply });
    assert.equal((await unread(minh)).length, 3);
    assert.ok((await unread(minh)).includes(later));
    assert.equal((await unread(thu)).length, 1);
    await until(() => stream.count('activitiesRead') === 1);
    const marked = stream.last('activitiesRead')?.value;
    const expected = before.filter(
      ({ messageId, channelId: id }) => id === channelId && messageId > 0n && messageId <= reply,
    );
    assert.deepEqual(marked?.activityIds.toSorted(), expected.map(({ id }) => id).toSorted());
    assert.equal(expected.length, 3);
    // What comes later to what was read is read by reading again.
    await messages(lan).addReaction({ channelId, messageId: own, emoji: '🎉' });
    assert.equal((await unread(minh)).length, 4);
    await members.markRead({ channelId, messageId: reply });
    await members.markRead({ channelId, messageId: reply });
    await until(() => stream.count('activitiesRead') === 2);
    await members.markRead({ channelId, all: true });
    await until(() => stream.count('activitiesRead') === 3);
    assert.equal((await unread(minh)).length, 2, 'what is elsewhere, and what is about no message');
    await members.markUnread({ channelId, messageId: own });
    assert.equal((await unread(minh)).length, 2);
    await stream.disconnect();
  });

  it('become read with the replies of a thread, and not those of other threads', async () => {
    const [lan, minh] = [someone('Lan'), someone('Minh')];
    const channelId = await group(lan, minh);
    const root = await send(minh, channelId, 'gốc');
    await send(lan, channelId, 'một', { replyToMessageId: root });
    await mention(lan, channelId, minh);
    await send(lan, channelId, 'hai', { replyToMessageId: root, mentionUserIds: [minh.userId] });
    await send(lan, channelId, 'ba', { replyToMessageId: root });
    const [, second] = (await list(minh)).map(({ messageId }) => messageId);
    await messages(minh).markThreadRead({ channelId, rootMessageId: root, messageId: second ?? 0n });
    const { activities } = await activityClient(minh).listActivities({ unreadOnly: true });
    assert.deepEqual(
      activities.map(({ type }) => type),
      ['REPLY_RECEIVED', 'MENTION_RECEIVED'],
    );
  });

  it('are not unread after their message was deleted', async () => {
    const [lan, minh] = [someone('Lan'), someone('Minh')];
    const channelId = await group(lan, minh);
    const kept = await mention(lan, channelId, minh);
    const messageId = await mention(lan, channelId, minh);
    assert.equal((await activityClient(minh).getActivityCounts({})).unreadCount, 2);
    await messages(lan).deleteMessage({ channelId, messageId });
    assert.equal((await activityClient(minh).getActivityCounts({})).unreadCount, 1);
    const { activities } = await activityClient(minh).listActivities({ unreadOnly: true });
    assert.deepEqual(
      activities.map((activity) => activity.messageId),
      [kept],
    );
    assert.deepEqual(
      (await list(minh)).map(({ read, messageDeleted }) => [read, messageDeleted]),
      [
        [true, true],
        [false, false],
      ],
    );
  });
});
