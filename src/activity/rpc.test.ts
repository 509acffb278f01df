import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Code } from '@connectrpc/connect';
import type { Activity } from '#gen/serp/discuss/v1/activity_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { feedOf } from '../../test/kit/activity-feed.ts';
import { activityFixture } from '../../test/kit/activity-fixture.ts';
import { type App, app } from '../../test/kit/app.ts';
import { rejects } from '../../test/kit/rejects.ts';
import { Subscriber } from '../../test/kit/stream.ts';
import { until } from '../../test/kit/until.ts';

const crm = { userId: 0n, tenantId: 1n, roles: ['discuss.service'] };

describe('ActivityService', () => {
  let the: App;

  before(async () => {
    the = await app();
    await the.start();
  });
  after(() => the.close());

  const { someone, activityClient, messages, list, typesOf, group, send, mention, task } = activityFixture(
    () => the,
  );

  const summary = (activities: Iterable<Activity>) =>
    [...activities].map(({ readTime: _, ...activity }) => activity).sort((a, b) => Number(b.id - a.id));

  it('returns the current text of a message, and none of a deleted one', async () => {
    const [lan, minh] = [someone('Lan'), someone('Minh')];
    const channelId = await group(lan, minh);
    const messageId = await mention(lan, channelId, minh);
    await messages(lan).editMessage({
      channelId,
      messageId,
      content: 'đã sửa',
      updateMask: { paths: ['content'] },
    });
    assert.equal((await list(minh))[0]?.preview, 'đã sửa');
    await messages(lan).deleteMessage({ channelId, messageId });
    const [activity] = await list(minh);
    assert.deepEqual([activity?.preview, activity?.messageDeleted], ['', true]);
    assert.ok(!JSON.stringify(activity, (_, value) => String(value)).includes('sửa'));
  });

  it('hides activities of a channel from former members', async () => {
    const [lan, minh] = [someone('Lan'), someone('Minh')];
    const channelId = await group(lan, minh);
    await mention(lan, channelId, minh);
    const look = async () => [
      (await list(minh)).length,
      (await activityClient(minh).getActivityCounts({})).unreadCount,
    ];
    assert.deepEqual(await look(), [1, 1]);
    await the.client(MemberService, minh).leaveChannel({ channelId });
    assert.deepEqual(await look(), [0, 0]);
    await mention(lan, channelId, minh);
    await the.client(MemberService, lan).addMembers({ channelId, userIds: [minh.userId] });
    assert.deepEqual(await typesOf(minh), ['ADDED_TO_CHANNEL', 'MENTION_RECEIVED']);
  });

  it('does not list or mark the activities of other users', async () => {
    const [lan, minh] = [someone('Lan'), someone('Minh')];
    const namesake = { ...minh, tenantId: 2n };
    const channelId = await group(lan, minh);
    await mention(lan, channelId, minh);
    const [activity] = await list(minh);
    for (const other of [lan, someone('Lạ'), namesake]) {
      assert.deepEqual(await list(other), []);
      assert.equal((await activityClient(other).getActivityCounts({})).unreadCount, 0);
      const marked = await activityClient(other).markActivityRead({ activityIds: [activity?.id ?? 0n] });
      assert.equal(marked.markedCount, 0);
      assert.equal((await activityClient(other).markAllActivitiesRead({})).markedCount, 0);
    }
    assert.equal((await list(minh))[0]?.read, false);
  });

  it('lists pages in one order, with filters', async () => {
    const minh = someone('Minh');
    const activities = Array.from({ length: 25 }, (_, index) =>
      task([minh], {
        type: index % 5 === 0 ? 'CUSTOMER_CREATED' : 'TASK_ASSIGNED',
        entity: { type: index % 5 === 0 ? 'customer' : 'task', id: BigInt(index + 1) },
      }),
    );
    await activityClient(crm).recordActivities({ activities });
    const all = await list(minh);
    assert.equal(all.length, 25);
    const paged: bigint[] = [];
    for (let pageToken = ''; ; ) {
      const page = await activityClient(minh).listActivities({ pageSize: 7, pageToken });
      paged.push(...page.activities.map(({ id }) => id));
      pageToken = page.nextPageToken;
      if (pageToken === '') break;
    }
    assert.deepEqual(
      paged,
      all.map(({ id }) => id),
    );
    const counted = async (filter: object) =>
      (await activityClient(minh).listActivities(filter)).activities.length;
    assert.equal(await counted({ types: ['CUSTOMER_CREATED'] }), 5);
    assert.equal(await counted({ entityType: 'customer' }), 5);
    assert.equal(await counted({ entity: { type: 'customer', id: 6n } }), 1);
    assert.equal(await counted({ types: ['MENTION_RECEIVED'] }), 0);
    await activityClient(minh).markActivityRead({ activityIds: paged.slice(0, 10) });
    assert.equal(await counted({ unreadOnly: true }), 15);
    const { entries, unreadCount } = await activityClient(minh).getActivityCounts({});
    assert.deepEqual(
      entries.map(({ type, unreadCount: unread }) => `${type} ${unread}`),
      ['CUSTOMER_CREATED 3', 'TASK_ASSIGNED 12'],
    );
    assert.equal(unreadCount, 15);
    await rejects(
      activityClient(minh).listActivities({ entity: { type: '', id: 1n } }),
      Code.InvalidArgument,
      'FIELD_INVALID',
    );
    await rejects(
      activityClient(minh).listActivities({ pageToken: 'xx' }),
      Code.InvalidArgument,
      'FIELD_INVALID',
    );
  });

  it('signals keep a user’s streams on both instances equal to a fresh list', async () => {
    const [lan, minh, thu] = [someone('Lan'), someone('Minh'), someone('Thu')];
    const channelId = await group(lan, minh, thu);
    await mention(lan, channelId, minh);
    const streams = await Promise.all(
      [0, 1].map((instance) => new Subscriber(the.client(EventService, minh, 'grpc', instance)).connect()),
    );
    const other = await new Subscriber(the.client(EventService, thu)).connect();
    const before = await list(minh);
    const messageId = await send(minh, channelId, 'của Minh');
    await mention(lan, channelId, minh);
    await send(lan, channelId, 'trả lời', { replyToMessageId: messageId });
    await messages(lan).addReaction({ channelId, messageId, emoji: '👍' });
    await messages(thu).addReaction({ channelId, messageId, emoji: '🎉' });
    await messages(thu).removeReaction({ channelId, messageId, emoji: '🎉' });
    const taken = await send(minh, channelId, 'của Minh');
    await messages(thu).addReaction({ channelId, messageId: taken, emoji: '🎉' });
    await messages(thu).removeReaction({ channelId, messageId: taken, emoji: '🎉' });
    await activityClient(crm).recordActivities({
      activities: [task([minh], { collapseKey: 'đơn', title: 'Đơn', metadata: { a: [1, { b: 'c' }] } })],
    });
    await activityClient(crm).recordActivities({ activities: [task([minh], { collapseKey: 'đơn' })] });
    const { channel } = await the
      .client(ChannelService, lan)
      .createChannel({ name: 'mới', memberUserIds: [minh.userId] });
    assert.ok(channel);
    const { message } = await messages(lan).sendMessage({ channelId, content: 'sửa' });
    await messages(lan).editMessage({
      channelId,
      messageId: message?.id ?? 0n,
      mentionUserIds: [minh.userId],
      updateMask: { paths: ['mention_user_ids'] },
    });
    await activityClient(minh).markActivityRead({ activityIds: [before[0]?.id ?? 0n] });
    const fresh = summary(await list(minh));
    assert.equal(fresh.length, 7);
    for (const stream of streams) {
      await until(() => stream.count('activitiesRead') === 1 && stream.count('activity') >= 10);
      assert.equal(stream.last('activitiesRead')?.value.more, false);
      assert.deepEqual(summary(feedOf(stream, before)), fresh);
    }
    assert.equal(other.count('activity'), 0, 'other users get no signal');
    await Promise.all([...streams, other].map((stream) => stream.disconnect()));
  });
});
