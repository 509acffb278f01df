import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { fromBinary } from '@bufbuild/protobuf';
import { Code } from '@connectrpc/connect';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { EventSchema } from '#gen/serp/discuss/v1/event_pb.ts';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { MemberRole } from '#gen/serp/discuss/v1/member_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { SystemNoticeKind as Kind, type Message, MessageType } from '#gen/serp/discuss/v1/message_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { SearchService } from '#gen/serp/discuss/v1/search_service_pb.ts';
import { type App, type As, app, CONCURRENT } from '../../test/kit/app.ts';
import { indexed } from '../../test/kit/indexed.ts';
import { rejects } from '../../test/kit/rejects.ts';
import { Subscriber } from '../../test/kit/stream.ts';
import { until } from '../../test/kit/until.ts';

const user = (id: number, name = ''): As => ({ userId: BigInt(id), tenantId: 1n, name });
const [lan, minh, chi] = [user(1, 'Lan'), user(2, 'Minh'), user(3)];
const crm = { userId: 0n, tenantId: 1n, roles: ['discuss.service'] };

describe('notices', () => {
  let the: App;

  before(async () => {
    the = await app(CONCURRENT);
    await the.start({ CHANNEL_NOTICES: 'false' });
  });
  after(() => the.close());

  const channels = (as: As, instance = 0) => the.client(ChannelService, as, 'grpc', instance);
  const members = (as: As, instance = 0) => the.client(MemberService, as, 'grpc', instance);
  const messages = (as: As) => the.client(MessageService, as);
  const group = async (...memberUserIds: bigint[]) => {
    const { channel } = await channels(lan).createChannel({ name: 'Kho', memberUserIds });
    return channel?.id ?? 0n;
  };
  const history = async (as: As, channelId: bigint) =>
    (await messages(as).listMessages({ channelId, pageSize: 100 })).messages;
  const contentsOf = (found: readonly Message[]) => found.map(({ content }) => content);
  const entry = async (as: As, channelId: bigint) =>
    (await channels(as).listChannels({ pageSize: 100 })).entries.find(
      ({ channel }) => channel?.id === channelId,
    );
  const kinds = async (channelId: bigint) => {
    const rows = await the.owner<{ payload: Buffer }[]>`
      select payload from channel_events where channel_id = ${channelId} order by seq
    `;
    return rows.map(({ payload }) => {
      const { change } = fromBinary(EventSchema, payload);
      const notice = change.case === 'messageCreated' ? change.value.message?.notice : undefined;
      return notice === undefined ? change.case : notice.kind;
    });
  };

  it('report joins and departures after the event of the change, as a sentence and as fields', async () => {
    const channelId = await group(2n);
    await members(chi).joinChannel({ channelId });
    await members(lan).addMembers({ channelId, userIds: [7n, 5n, 6n, 2n] });
    await members(crm).addMembers({ channelId, userIds: [8n] });
    await members(minh).leaveChannel({ channelId });
    await members(lan).removeMember({ channelId, userId: 7n });
    await members(lan).addMembers({ channelId, userIds: [5n, 6n] });
    const found = await history(lan, channelId);
    assert.deepEqual(contentsOf(found), [
      'Somebody joined',
      'Lan added 3 people',
      '1 person joined',
      'Minh left',
      'Lan removed 1 person',
    ]);
    const [joined, added, byService, left, removed] = found.map(({ notice }) => notice);
    assert.deepEqual([joined?.kind, joined?.actorId, joined?.userIds], [Kind.MEMBER_JOINED, 3n, []]);
    assert.deepEqual([added?.kind, added?.actorId, added?.actorName], [Kind.MEMBERS_ADDED, 1n, 'Lan']);
    assert.deepEqual([added?.userIds, added?.userCount], [[5n, 6n, 7n], 3]);
    assert.deepEqual(
      [byService?.kind, byService?.actorId, byService?.userIds],
      [Kind.MEMBERS_ADDED, 0n, [8n]],
    );
    assert.deepEqual([left?.kind, left?.actorId], [Kind.MEMBER_LEFT, 2n]);
    assert.deepEqual([removed?.kind, removed?.actorId, removed?.userIds], [Kind.MEMBER_REMOVED, 1n, [7n]]);
    assert.deepEqual(
      found.map(({ type, senderId, position }) => [type, senderId, position]),
      [1n, 2n, 3n, 4n, 5n].map((position) => [MessageType.SYSTEM, 0n, position]),
    );
    assert.deepEqual(await kinds(channelId), [
      'channelChanged',
      'membersJoined',
      'membersJoined',
      Kind.MEMBER_JOINED,
      'membersJoined',
      Kind.MEMBERS_ADDED,
      'membersJoined',
      Kind.MEMBERS_ADDED,
      'memberLeft',
      Kind.MEMBER_LEFT,
      'memberLeft',
      Kind.MEMBER_REMOVED,
    ]);
  });

  it('report changes of the channel and of roles', async () => {
    const channelId = await group(2n);
    const update = (paths: string[], fields: object) =>
      channels(lan).updateChannel({ channelId, ...fields, updateMask: { paths } });
    await update(['name', 'description', 'private'], { name: 'Kho', description: 'Nhập', private: true });
    await update(['name', 'description', 'private'], { name: 'Kho vận', description: 'Nhập' });
    await members(lan).updateMemberRole({ channelId, userId: 2n, role: MemberRole.ADMIN });
    await members(lan).transferOwnership({ channelId, userId: 2n });
    await channels(minh).archiveChannel({ channelId });
    await channels(minh).archiveChannel({ channelId });
    await channels(crm).unarchiveChannel({ channelId });
    const found = await history(lan, channelId);
    assert.deepEqual(contentsOf(found), [
      'Lan changed the description',
      'Lan made the channel private',
      'Lan renamed the channel to Kho vận',
      'Lan made the channel public',
      'Lan gave 1 person the role ADMIN',
      'Lan handed the channel over',
      'Minh archived the channel',
      'The channel was opened again',
    ]);
    assert.deepEqual([found[2]?.notice?.previousName, found[2]?.notice?.name], ['Kho', 'Kho vận']);
    assert.deepEqual([found[4]?.notice?.role, found[4]?.notice?.userIds], [MemberRole.ADMIN, [2n]]);
  });

  it('name at most 100 of the added users, and count all', async () => {
    const channelId = await group();
    const userIds = Array.from({ length: 1_000 }, (_, index) => BigInt(5_000 - index));
    await members(lan).addMembers({ channelId, userIds });
    const [only, ...more] = await history(lan, channelId);
    assert.deepEqual(more, []);
    assert.equal(only?.notice?.userCount, 1_000);
    assert.deepEqual(
      only.notice.userIds,
      Array.from({ length: 100 }, (_, index) => BigInt(4_001 + index)),
    );
  });

  it('are never unread, previewed or counted', async () => {
    const channelId = await group(2n, 3n);
    const { message } = await messages(lan).sendMessage({ channelId, content: 'tin' });
    const before = await entry(minh, channelId);
    await members(lan).addMembers({ channelId, userIds: [9n] });
    await members(chi).leaveChannel({ channelId });
    await channels(lan).updateChannel({
      channelId,
      name: 'Kho',
      description: 'x',
      updateMask: { paths: ['description'] },
    });
    const now = await entry(minh, channelId);
    assert.equal(now?.membership?.unreadCount, 1);
    assert.deepEqual(now.lastMessage, before?.lastMessage);
    assert.equal(now.lastMessage?.id, message?.id);
    assert.equal(now.channel?.messageCount, 1);
    assert.deepEqual(now.channel.lastMessageTime, message?.createTime);
    assert.equal((await entry(user(9), channelId))?.membership?.unreadCount, 0);
    const summary = await members(minh).getUnreadSummary({});
    assert.equal(summary.entries.find((one) => one.channelId === channelId)?.unreadCount, 1);
    const [trending] = (await channels(lan).listTrendingChannels({})).entries.filter(
      ({ channel }) => channel?.id === channelId,
    );
    assert.equal(trending?.recentMessageCount, 1);
    const [row] = await the.owner`
      select last_message_preview as preview from user_channels where channel_id = ${channelId} and user_id = 2
    `;
    assert.equal(row?.['preview'], 'tin');
    const [stored] = await the.owner`
      select unread_version = settled_version as settled, post_seq from channels where id = ${channelId}
    `;
    assert.equal(stored?.['postSeq'], 4n);
  });

  it('can be the position of a marker, forward and back', async () => {
    const channelId = await group(2n);
    await messages(lan).sendMessage({ channelId, content: 'một' });
    await members(lan).addMembers({ channelId, userIds: [10n] });
    await messages(lan).sendMessage({ channelId, content: 'hai' });
    await members(lan).addMembers({ channelId, userIds: [11n] });
    const [, first, , second] = (await history(minh, channelId)).map(({ id }) => id);
    assert.ok(first !== undefined && second !== undefined);
    const mark = async (how: 'markRead' | 'markUnread', to: object) => {
      const { lastReadMessageId, unreadCount } = await members(minh)[how]({ channelId, ...to });
      return [lastReadMessageId, unreadCount];
    };
    assert.deepEqual(await mark('markRead', { messageId: first }), [first, 1]);
    assert.deepEqual(await mark('markRead', { all: true }), [second, 0]);
    assert.deepEqual((await mark('markUnread', { messageId: second }))[1], 0);
    assert.deepEqual((await mark('markUnread', { messageId: first }))[1], 1);
    assert.deepEqual((await members(minh).markUnread({ channelId, messageId: first - 1n })).unreadCount, 2);
  });

  it('accept reactions and replies, can be deleted by admins, and cannot be edited', async () => {
    const channelId = await group(2n);
    await members(lan).addMembers({ channelId, userIds: [12n] });
    const [notice] = await history(minh, channelId);
    const messageId = notice?.id ?? 0n;
    await messages(minh).addReaction({ channelId, messageId, emoji: '👋' });
    const { message: reply } = await messages(minh).sendMessage({
      channelId,
      content: 'chào',
      replyToMessageId: messageId,
    });
    assert.equal(reply?.rootMessageId, messageId);
    for (const as of [lan, minh]) {
      const edit = messages(as).editMessage({
        channelId,
        messageId,
        content: 'x',
        updateMask: { paths: ['content'] },
      });
      await rejects(edit, Code.PermissionDenied, 'CALLER_NOT_ALLOWED');
    }
    await rejects(
      messages(minh).deleteMessage({ channelId, messageId }),
      Code.PermissionDenied,
      'ROLE_TOO_LOW',
    );
    const stream = await new Subscriber(the.client(EventService, minh), [channelId]).connect();
    await messages(lan).deleteMessage({ channelId, messageId });
    const [deleted] = await history(minh, channelId);
    assert.deepEqual([deleted?.content, deleted?.notice], ['', undefined]);
    assert.ok(deleted?.deleteTime !== undefined);
    await until(() => stream.events.length === 1);
    await stream.disconnect();
    const [row] = await the.owner`
      select count(*)::int as left from channel_events
      where message_id = ${messageId} and position('Lan'::bytea in payload) > 0
    `;
    assert.equal(row?.['left'], 0);
    assert.equal((await entry(lan, channelId))?.membership?.unreadCount, 1);
  });

  it('have the same text on streams as in history, and are not searchable', async () => {
    const channelId = await group(2n);
    const stream = await new Subscriber(the.client(EventService, minh, 'web'), [channelId]).connect();
    await channels(lan).updateChannel({ channelId, name: 'Bưu cục', updateMask: { paths: ['name'] } });
    await until(() => stream.events.length === 2);
    const { change } = stream.events[1] ?? {};
    assert.ok(change?.case === 'messageCreated');
    assert.deepEqual([change.value.message], await history(minh, channelId));
    await the.client(MessageService, minh).sendMessage({ channelId, content: 'renamed' });
    await indexed(the);
    const found = await the.client(SearchService, minh).searchMessages({ query: 'renamed' });
    assert.equal(found.messages.length, 1);
    await stream.disconnect();
  });

  it('are not posted in direct channels, for calls without a change, or when disabled', async () => {
    const { channel } = await channels(lan).getOrCreateDirectChannel({ userId: 2n });
    assert.deepEqual(await kinds(channel?.id ?? 0n), ['channelChanged', 'membersJoined']);
    const channelId = await group(2n);
    await members(lan).addMembers({ channelId, userIds: [2n] });
    await channels(lan).updateChannel({ channelId, name: 'Kho', updateMask: { paths: ['name'] } });
    await members(lan, 1).addMembers({ channelId, userIds: [3n] });
    await channels(lan, 1).archiveChannel({ channelId });
    assert.deepEqual(await history(lan, channelId), []);
  });

  it('have one order with concurrent messages', async () => {
    const channelId = await group(2n, 3n);
    const stream = await new Subscriber(the.client(EventService, minh), [channelId]).connect();
    await Promise.all(
      Array.from({ length: 60 }, (_, index) =>
        index % 3 === 0
          ? members(lan).addMembers({ channelId, userIds: [BigInt(1_000 + index)] })
          : messages(index % 2 === 0 ? minh : chi).sendMessage({ channelId, content: `tin ${index}` }),
      ),
    );
    const found = await history(minh, channelId);
    assert.deepEqual(
      found.map(({ position }) => position),
      Array.from({ length: 60 }, (_, index) => BigInt(index + 1)),
    );
    await until(() => stream.events.length === 80);
    const posted = stream.events.flatMap(({ change }) =>
      change.case === 'messageCreated' ? [change.value.message] : [],
    );
    assert.deepEqual(posted, found);
    stream.events.forEach(({ change }, index) => {
      const next = stream.events[index + 1]?.change;
      if (change.case !== 'membersJoined') return;
      assert.ok(next?.case === 'messageCreated' && next.value.message?.notice?.kind === Kind.MEMBERS_ADDED);
    });
    assert.deepEqual(stream.faults, []);
    await stream.disconnect();
  });
});
