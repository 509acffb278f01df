import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { ActivityService } from '#gen/serp/discuss/v1/activity_service_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { MentionScope } from '#gen/serp/discuss/v1/message_pb.ts';
import { activityFixture } from '../../test/kit/activity-fixture.ts';
import { type App, type As, app } from '../../test/kit/app.ts';
import { until } from '../../test/kit/until.ts';

const crm = { userId: 0n, tenantId: 1n, roles: ['discuss.service'] };

describe('recipients of activities', () => {
  let the: App;

  before(async () => {
    the = await app();
    await the.start();
  });
  after(() => the.close());

  const { someone, messages, list, typesOf, group, send, mention, task } = activityFixture(() => the);
  const prefer = (channelId: bigint, { userId }: As, level: string, isMuted = false) => the.owner`
    update channel_members
    set notification_level = ${level}, is_muted = ${isMuted}
    where channel_id = ${channelId} and user_id = ${userId}
  `;

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
      entity: { type: 'order', id: 1n },
      name: 'Đơn hàng',
      memberUserIds: [thu.userId],
    });
    const sentences = async (as: As) => (await list(as)).map(({ description }) => description);
    assert.deepEqual(await sentences(lan), []);
    assert.deepEqual(await sentences(minh), ['Lan added you to Kho vận']);
    assert.deepEqual(await sentences(thu), ['You were added to Đơn hàng', 'Lan added you to Kho vận']);
  });
});
