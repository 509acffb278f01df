import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { Code } from '@connectrpc/connect';
import type { Activity } from '#gen/serp/discuss/v1/activity_pb.ts';
import { ActivityService } from '#gen/serp/discuss/v1/activity_service_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { MentionScope } from '#gen/serp/discuss/v1/message_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, type As, app } from '../../test/kit/app.ts';
import { rejects } from '../../test/kit/rejects.ts';
import { Subscriber } from '../../test/kit/stream.ts';
import { until } from '../../test/kit/until.ts';

const crm = { userId: 0n, tenantId: 1n, roles: ['discuss.service'] };

describe('ActivityService', () => {
  let the: App;
  let users = 100;

  before(async () => {
    the = await app();
    await the.start();
  });
  after(() => the.close());

  const someone = (name: string, tenantId = 1n): As => ({ userId: BigInt(users++), tenantId, name });
  const activityClient = (as: As, instance = 0) => the.client(ActivityService, as, 'grpc', instance);
  const messages = (as: As) => the.client(MessageService, as);
  const list = async (as: As) => (await activityClient(as).listActivities({})).activities;
  const typesOf = async (as: As) => (await list(as)).map(({ type }) => type);

  /** A private group of Lan and others, whose additions are not in the feeds. */
  const group = async (lan: As, ...others: As[]) => {
    const memberUserIds = others.map(({ userId }) => userId);
    const { channel } = await the
      .client(ChannelService, lan)
      .createChannel({ name: 'Kho vận', private: true, memberUserIds });
    const channelId = channel?.id ?? 0n;
    await the.owner`delete from activity_feed where channel_id = ${channelId}`;
    return channelId;
  };
  const send = async (as: As, channelId: bigint, content = 'tin', more: object = {}) => {
    const { message } = await messages(as).sendMessage({ channelId, content, ...more });
    return message?.id ?? 0n;
  };
  const mention = (as: As, channelId: bigint, ...users: As[]) =>
    send(as, channelId, 'xem này', { mentionUserIds: users.map(({ userId }) => userId) });
  const prefer = (channelId: bigint, { userId }: As, level: string, isMuted = false) => the.owner`
    update channel_members
    set notification_level = ${level}, is_muted = ${isMuted}
    where channel_id = ${channelId} and user_id = ${userId}
  `;
  const task = (users: As[], more: object = {}) => ({
    userIds: users.map(({ userId }) => userId),
    type: 'TASK_ASSIGNED',
    entity: { type: 'task', id: 7n },
    description: 'Việc mới',
    ...more,
  });
  /** The state of a client that listed activities and applied all later signals. */
  const apply = (state: Map<bigint, Activity>, subscriber: Subscriber) => {
    for (const payload of subscriber.others.splice(0)) {
      if (payload.case === 'activity') state.set(payload.value.id, payload.value);
      if (payload.case === 'activityRemoved') state.delete(payload.value.activityId);
      if (payload.case !== 'activitiesRead') continue;
      assert.equal(payload.value.more, false);
      for (const id of payload.value.activityIds) {
        const known = state.get(id);
        if (known !== undefined) state.set(id, { ...known, read: true });
      }
    }
    return state;
  };
  const summary = (activities: Iterable<Activity>) =>
    [...activities].map(({ readTime: _, ...activity }) => activity).sort((a, b) => Number(b.id - a.id));

  it('records a mention, as a sentence and as fields', async () => {
    const [lan, minh] = [someone('Lan'), someone('Minh')];
    const channelId = await group(lan, minh);
    const messageId = await mention(lan, channelId, minh, lan);
    const [activity, ...more] = await list(minh);
    assert.deepEqual(more, []);
    assert.equal(activity?.type, 'MENTION_RECEIVED');
    assert.equal(activity.description, 'Lan mentioned you in Kho vận');
    assert.equal(activity.title, 'Kho vận');
    assert.equal(activity.preview, 'xem này');
    assert.deepEqual(
      [activity.actorId, activity.channelId, activity.messageId],
      [lan.userId, channelId, messageId],
    );
    assert.deepEqual(activity.metadata, { actor_name: 'Lan', channel_name: 'Kho vận', reason: 'NAMED' });
    assert.deepEqual([activity.read, activity.count, activity.messageDeleted], [false, 1, false]);
    assert.deepEqual(await list(lan), [], 'a user gets no activity of their own message');
  });

  it('records replies for the author and followers of a thread, with the strongest reason', async () => {
    const [lan, minh, thu, hoa, chi] = [
      someone('Lan'),
      someone('Minh'),
      someone('Thu'),
      someone('Hoa'),
      someone('Chi'),
    ];
    const channelId = await group(lan, minh, thu, hoa, chi);
    const replyToMessageId = await send(lan, channelId, 'gốc');
    await send(minh, channelId, 'một', { replyToMessageId });
    await messages(minh).unfollowThread({ channelId, rootMessageId: replyToMessageId });
    await messages(chi).followThread({ channelId, rootMessageId: replyToMessageId });
    await send(thu, channelId, 'hai', { replyToMessageId, mentionUserIds: [hoa.userId, lan.userId] });
    const reasons = async (as: As) =>
      (await list(as)).map(
        ({ type, metadata }) => `${type} ${metadata?.['reason']} ${metadata?.['root_message_id']}`,
      );
    assert.deepEqual(await reasons(lan), [
      `MENTION_RECEIVED NAMED ${replyToMessageId}`,
      `REPLY_RECEIVED THREAD_STARTED ${replyToMessageId}`,
    ]);
    assert.deepEqual(await reasons(minh), []);
    assert.deepEqual(await reasons(thu), []);
    assert.deepEqual(await reasons(hoa), [`MENTION_RECEIVED NAMED ${replyToMessageId}`]);
    assert.deepEqual(await reasons(chi), [`REPLY_RECEIVED THREAD_FOLLOWED ${replyToMessageId}`]);
  });

  it('records concurrent replies for each other’s authors', async () => {
    const people = Array.from({ length: 8 }, (_, index) => someone(`Người ${index}`));
    const lan = someone('Lan');
    const channelId = await group(lan, ...people);
    const replyToMessageId = await send(lan, channelId, 'gốc');
    await Promise.all(people.map((as) => send(as, channelId, 'cùng lúc', { replyToMessageId })));
    assert.equal((await list(lan)).length, 8);
    const all = await Promise.all(people.map(list));
    const counts = all.map(({ length }) => length).sort((a, b) => a - b);
    assert.deepEqual(counts, [0, 1, 2, 3, 4, 5, 6, 7], 'each of those who came after');
  });

  it('records @channel for all members, and @here for none', async () => {
    const [lan, minh, thu] = [someone('Lan'), someone('Minh'), someone('Thu')];
    const channelId = await group(lan, minh, thu);
    await send(lan, channelId, 'mọi người', {
      mentionScope: MentionScope.CHANNEL,
      mentionUserIds: [minh.userId],
    });
    await send(lan, channelId, 'ai đó', { mentionScope: MentionScope.HERE });
    const reasons = async (as: As) => (await list(as)).map(({ metadata }) => metadata?.['reason']);
    await until(async () => (await list(thu)).length > 0, 'the activities of @channel');
    assert.deepEqual(
      [await reasons(lan), await reasons(minh), await reasons(thu)],
      [[], ['NAMED'], ['EVERYBODY']],
    );
  });

  it('respects muting and the notification level', async () => {
    const lan = someone('Lan');
    const expected: [string, boolean, string[]][] = [
      ['ALL', false, ['REACTION_RECEIVED', 'REPLY_RECEIVED', 'MENTION_RECEIVED']],
      ['MENTIONS', false, ['MENTION_RECEIVED']],
      ['NONE', false, []],
      ['ALL', true, []],
      ['MENTIONS', true, []],
    ];
    for (const [level, isMuted, types] of expected) {
      const minh = someone('Minh');
      const channelId = await group(lan, minh);
      await prefer(channelId, minh, level, isMuted);
      await mention(lan, channelId, minh);
      const messageId = await send(minh, channelId);
      await send(lan, channelId, 'trả lời', { replyToMessageId: messageId });
      await messages(lan).addReaction({ channelId, messageId, emoji: '👍' });
      await the.client(ActivityService, crm).recordActivities({ activities: [task([minh], { channelId })] });
      const wanted = level === 'ALL' && !isMuted ? ['TASK_ASSIGNED', ...types] : types;
      assert.deepEqual(await typesOf(minh), wanted, `${level} ${isMuted}`);
    }
  });

  it('collapses reactions to a message until they are read, and records none twice', async () => {
    const [lan, minh, thu] = [someone('Lan'), someone('Minh'), someone('Thu')];
    const channelId = await group(lan, minh, thu);
    const messageId = await send(minh, channelId, 'hay');
    const react = (as: As, emoji: string) => messages(as).addReaction({ channelId, messageId, emoji });
    await react(lan, '👍');
    await react(lan, '👍');
    await messages(lan).removeReaction({ channelId, messageId, emoji: '👍' });
    await react(lan, '👍');
    await react(minh, '👍');
    await react(thu, '🎉');
    const [activity, ...more] = await list(minh);
    assert.deepEqual(more, []);
    assert.equal(activity?.description, 'Thu reacted 🎉 to your message in Kho vận');
    assert.equal(activity.count, 2);
    await activityClient(minh).markActivityRead({ activityIds: [activity.id] });
    await react(lan, '🚀');
    assert.deepEqual(
      (await list(minh)).map(({ read, count }) => [read, count]),
      [
        [false, 1],
        [true, 2],
      ],
    );
    await Promise.all(
      Array.from({ length: 20 }, () => someone('Ai')).map(async (as) => {
        await the.client(MemberService, lan).addMembers({ channelId, userIds: [as.userId] });
        await react(as, '👍');
      }),
    );
    assert.equal((await list(minh))[0]?.count, 21);
  });

  it('records mentions that an edit added, once', async () => {
    const [lan, minh, thu] = [someone('Lan'), someone('Minh'), someone('Thu')];
    const channelId = await group(lan, minh, thu);
    const messageId = await mention(lan, channelId, minh);
    for (const users of [[minh, thu], [minh], [minh, thu]])
      await messages(lan).editMessage({
        channelId,
        messageId,
        mentionUserIds: users.map(({ userId }) => userId),
        updateMask: { paths: ['mention_user_ids'] },
      });
    assert.deepEqual([await typesOf(minh), await typesOf(thu)], [['MENTION_RECEIVED'], ['MENTION_RECEIVED']]);
  });

  it('records users added to a channel by others, but not joins and direct channels', async () => {
    const [lan, minh, thu] = [someone('Lan'), someone('Minh'), someone('Thu')];
    const channels = the.client(ChannelService, lan);
    const { channel } = await channels.createChannel({ name: 'Kho vận', memberUserIds: [minh.userId] });
    const channelId = channel?.id ?? 0n;
    const add = () =>
      the.client(MemberService, lan).addMembers({ channelId, userIds: [minh.userId, thu.userId] });
    await add();
    await add();
    await channels.getOrCreateDirectChannel({ userId: thu.userId });
    await the.client(ChannelService, crm).getOrCreateTopicChannel({
      entity: { type: 'order', id: BigInt(users++) },
      name: 'Đơn hàng',
      memberUserIds: [thu.userId],
    });
    const sentences = async (as: As) => (await list(as)).map(({ description }) => description);
    assert.deepEqual(await sentences(lan), []);
    assert.deepEqual(await sentences(minh), ['Lan added you to Kho vận']);
    assert.deepEqual(await sentences(thu), ['You were added to Đơn hàng', 'Lan added you to Kho vận']);
  });

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

  it('collapses forty concurrent changes of one order into one activity', async () => {
    const [minh, thu] = [someone('Minh'), someone('Thu')];
    const change = (index: number) => ({
      activities: [task([minh, thu], { collapseKey: 'sales:order:9', description: `thay đổi ${index}` })],
    });
    await Promise.all(
      Array.from({ length: 40 }, (_, index) =>
        activityClient(crm, index % 2).recordActivities(change(index)),
      ),
    );
    for (const as of [minh, thu]) {
      const [activity, ...more] = await list(as);
      assert.deepEqual([activity?.count, more.length], [40, 0]);
    }
    await activityClient(crm).recordActivities(change(40));
    const [last] = await list(minh);
    assert.deepEqual([last?.count, last?.description], [41, 'thay đổi 40']);
    await activityClient(minh).markAllActivitiesRead({});
    await activityClient(crm).recordActivities({
      activities: [...change(41).activities, ...change(42).activities],
    });
    assert.deepEqual(
      (await list(minh)).map(({ count, description, read }) => [count, description, read]),
      [
        [2, 'thay đổi 42', false],
        [41, 'thay đổi 40', true],
      ],
    );
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

  it('records a request once, for repeated calls on all instances', async () => {
    const minh = someone('Minh');
    const request = {
      requestId: randomUUID(),
      activities: [task([minh], { collapseKey: 'một' }), task([minh])],
    };
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, index) => activityClient(crm, index % 2).recordActivities(request)),
    );
    assert.equal(answers.filter(({ repeatedRequest }) => !repeatedRequest).length, 1);
    assert.deepEqual(
      (await list(minh)).map(({ count }) => count),
      [1, 1],
    );
    await rejects(
      activityClient(crm).recordActivities({ ...request, activities: [task([minh])] }),
      Code.AlreadyExists,
      'REQUEST_ID_REUSED',
    );
  });

  it('records for the named users only, in the tenant of the service', async () => {
    const [lan, minh, thu] = [someone('Lan'), someone('Minh'), someone('Thu')];
    const namesake = { ...minh, tenantId: 2n };
    const channelId = await group(lan, minh);
    const { recordedCount } = await activityClient(crm).recordActivities({
      activities: [
        task([lan, minh, minh, thu], { channelId, actorId: lan.userId, metadata: { ưu_tiên: 1 } }),
      ],
    });
    assert.equal(recordedCount, 1);
    const [activity] = await list(minh);
    assert.deepEqual(activity?.metadata, { ưu_tiên: 1 });
    assert.deepEqual([await list(lan), await list(thu), await list(namesake)], [[], [], []]);
    const abroad = { ...crm, tenantId: 2n };
    await activityClient(abroad).recordActivities({ activities: [task([minh], { channelId })] });
    assert.deepEqual(await list(namesake), []);
    assert.equal((await list(minh)).length, 1);
  });

  it('accepts activities of services only, within bounds', async () => {
    const minh = someone('Minh');
    await rejects(
      activityClient(minh).recordActivities({ activities: [task([minh])] }),
      Code.PermissionDenied,
      'CALLER_NOT_ALLOWED',
    );
    const wrong = [
      task([minh], { entity: undefined }),
      task([minh], { entity: { type: 'task', id: 0n }, channelId: 1n }),
      task([minh], { entity: { type: 'Task', id: 1n } }),
      task([minh], { type: 'task' }),
      task([minh], { type: 'A'.repeat(101) }),
      task([minh], { description: '' }),
      task([minh], { description: 'x'.repeat(1_001) }),
      task([minh], { title: 'x'.repeat(256) }),
      task([minh], { metadata: { text: 'x'.repeat(8_200) } }),
      task([minh], { collapseKey: 'reaction:1' }),
      task([]),
    ];
    for (const activity of wrong)
      await rejects(
        activityClient(crm).recordActivities({ activities: [activity] }),
        Code.InvalidArgument,
        'FIELD_INVALID',
      );
    const many = Array.from({ length: 1_000 }, (_, index) => ({
      userId: BigInt(index + 10_000),
      tenantId: 1n,
    }));
    const batch = (count: number) => ({ activities: Array.from({ length: count }, () => task(many)) });
    await rejects(activityClient(crm).recordActivities(batch(11)), Code.InvalidArgument, 'FIELD_INVALID');
    await rejects(
      activityClient(crm).recordActivities({ activities: Array.from({ length: 501 }, () => task([minh])) }),
      Code.InvalidArgument,
      'FIELD_INVALID',
    );
    assert.deepEqual(await list(minh), []);
    const { recordedCount } = await activityClient(crm).recordActivities(batch(10));
    assert.equal(recordedCount, 10_000);
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

  it('lose removed reactions while they are unread', async () => {
    const [lan, minh, thu] = [someone('Lan'), someone('Minh'), someone('Thu')];
    const channelId = await group(lan, minh, thu);
    const messageId = await send(minh, channelId, 'hay');
    const stream = await new Subscriber(the.client(EventService, minh, 'grpc', 1)).connect();
    const react = (as: As, emoji: string) => messages(as).addReaction({ channelId, messageId, emoji });
    const unreact = (as: As, emoji: string) => messages(as).removeReaction({ channelId, messageId, emoji });
    const shown = async () =>
      (await list(minh)).map(({ actorId, count, read, description }) => [actorId, count, read, description]);
    const text = (name: string, emoji: string) => `${name} reacted ${emoji} to your message in Kho vận`;
    await react(lan, '👍');
    await react(thu, '🎉');
    await react(thu, '👍');
    const { snapshotToken } = await activityClient(minh).listActivities({});
    await unreact(thu, '👍');
    assert.deepEqual(await shown(), [[thu.userId, 2, false, text('Thu', '🎉')]]);
    await unreact(thu, '🎉');
    await unreact(thu, '🎉');
    assert.deepEqual(await shown(), [[lan.userId, 1, false, text('Lan', '👍')]]);
    await activityClient(minh).markAllActivitiesRead({ snapshotToken });
    assert.deepEqual(await shown(), [[lan.userId, 1, true, text('Lan', '👍')]], 'it was shown, and more');
    await react(thu, '🚀');
    // One that was read already is not in the new one.
    await unreact(lan, '👍');
    assert.deepEqual((await shown())[0], [thu.userId, 1, false, text('Thu', '🚀')]);
    const [gone] = await list(minh);
    await unreact(thu, '🚀');
    assert.deepEqual(await shown(), [[lan.userId, 1, true, text('Lan', '👍')]]);
    await until(() => stream.last('activityRemoved')?.value.activityId === gone?.id);
    assert.equal((await activityClient(minh).getActivityCounts({})).unreadCount, 0);
    await stream.disconnect();
  });

  it('count the exact reactions after concurrent adds and removals', async () => {
    const people = Array.from({ length: 12 }, (_, index) => someone(`Người ${index}`));
    const minh = someone('Minh');
    const channelId = await group(minh, ...people);
    const messageId = await send(minh, channelId, 'hay');
    for (let round = 0; round < 4; round += 1) {
      await Promise.all(
        people.flatMap((as) => [
          messages(as).addReaction({ channelId, messageId, emoji: '👍' }),
          messages(as).removeReaction({ channelId, messageId, emoji: '👍' }),
          messages(as).addReaction({ channelId, messageId, emoji: '🎉' }),
        ]),
      );
      const { message } = await messages(minh).getMessage({ channelId, messageId });
      const given = (message?.reactions ?? []).reduce((sum, { userIds }) => sum + userIds.length, 0);
      assert.deepEqual(
        (await list(minh)).map(({ count }) => count),
        [given],
      );
    }
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

  it('signals keep a user’s streams on both instances equal to a fresh list', async () => {
    const [lan, minh, thu] = [someone('Lan'), someone('Minh'), someone('Thu')];
    const channelId = await group(lan, minh, thu);
    await mention(lan, channelId, minh);
    const streams = await Promise.all(
      [0, 1].map((instance) => new Subscriber(the.client(EventService, minh, 'grpc', instance)).connect()),
    );
    const other = await new Subscriber(the.client(EventService, thu)).connect();
    const before = await list(minh);
    const states = streams.map(() => new Map(before.map((activity) => [activity.id, activity])));
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
    for (const [index, stream] of streams.entries()) {
      await until(() => stream.count('activitiesRead') === 1 && stream.count('activity') >= 10);
      assert.deepEqual(summary(apply(states[index] ?? new Map(), stream).values()), fresh);
    }
    assert.equal(other.count('activity'), 0, 'other users get no signal');
    await Promise.all([...streams, other].map((stream) => stream.disconnect()));
  });
});
