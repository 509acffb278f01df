import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Code } from '@connectrpc/connect';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, type As, app, CONCURRENT } from '../../test/kit/app.ts';
import { rejects } from '../../test/kit/rejects.ts';
import { Subscriber } from '../../test/kit/stream.ts';
import { until } from '../../test/kit/until.ts';

const user = (id: bigint): As => ({ userId: id, tenantId: 1n });
const [ana, binh, chi, dung] = [user(1n), user(2n), user(3n), user(4n)];

describe('threads', () => {
  let the: App;
  let channelId: bigint;
  let rootMessageId: bigint;

  before(async () => {
    the = await app(CONCURRENT);
    await the.start();
    const memberUserIds = Array.from({ length: 12 }, (_, index) => BigInt(index + 2));
    const { channel } = await the.client(ChannelService, ana).createChannel({ name: 'Kho', memberUserIds });
    channelId = channel?.id ?? 0n;
  });
  after(() => the.close());

  const messages = (as: As, instance = 0) => the.client(MessageService, as, 'grpc', instance);
  const start = async (as = ana) => {
    const { message } = await messages(as).sendMessage({ channelId, content: 'chủ đề' });
    rootMessageId = message?.id ?? 0n;
  };
  const reply = async (as: As, rest: object = {}) => {
    const request = { channelId, content: 'đáp', replyToMessageId: rootMessageId, ...rest };
    const { message } = await messages(as, Number(as.userId % 2n)).sendMessage(request);
    return message?.id ?? 0n;
  };
  const root = async () => (await messages(ana).getMessage({ channelId, messageId: rootMessageId })).message;
  const unread = async (as: As) => {
    const { state } = await messages(as).listThread({ channelId, rootMessageId });
    return state?.following ? state.unreadCount : undefined;
  };

  it('are paged oldest first, with the root message on the first page', async () => {
    await start();
    const ids: bigint[] = [];
    for (let index = 0; index < 7; index += 1) ids.push(await reply(binh));
    const seen: bigint[] = [];
    for (let pageToken = ''; ; ) {
      const page = await messages(chi).listThread({ channelId, rootMessageId, pageSize: 3, pageToken });
      assert.equal(page.root?.id, pageToken === '' ? rootMessageId : undefined);
      seen.push(...page.replies.map(({ id }) => id));
      pageToken = page.nextPageToken;
      if (pageToken === '') break;
    }
    assert.deepEqual(seen, ids);
    const ofReply = messages(chi).listThread({ channelId, rootMessageId: ids[0] ?? 0n });
    await rejects(ofReply, Code.NotFound, 'MESSAGE_NOT_FOUND');
  });

  it('count replies, participants and the last reply exactly under concurrent replies and deletions', async () => {
    await start();
    const replies: { id: bigint; as: As }[] = [];
    const people = Array.from({ length: 8 }, (_, index) => user(BigInt(index + 1)));
    for (const as of people) replies.push({ id: await reply(as), as });
    const erase = ({ id, as }: { id: bigint; as: As }) =>
      messages(as, 1).deleteMessage({ channelId, messageId: id });
    await Promise.all([
      ...replies.slice(0, 6).map(erase),
      ...people.slice(4).flatMap((as) => [reply(as), reply(as), reply(as)]),
      ...replies.slice(2, 6).map(erase),
    ]);
    const found = await root();
    assert.equal(found?.replyCount, 2 + 12);
    assert.equal(found.participantCount, 4);
    assert.deepEqual([...found.participantUserIds].sort(), [5n, 6n, 7n, 8n]);
    const page = await messages(chi).listThread({ channelId, rootMessageId });
    const last = page.replies.findLast(({ deleteTime }) => deleteTime === undefined);
    assert.deepEqual(found.lastReplyTime, last?.createTime);
    for (const { id } of page.replies) await messages(ana).deleteMessage({ channelId, messageId: id });
    const empty = await root();
    assert.deepEqual(
      [empty?.replyCount, empty?.participantCount, empty?.participantUserIds, empty?.lastReplyTime],
      [0, 0, [], undefined],
    );
  });

  it('are followed by the author, repliers and mentioned users, each with their own unread count', async () => {
    await start();
    await reply(binh);
    await reply(binh, { mentionUserIds: [3n, 99n] });
    await reply(dung);
    assert.deepEqual(await Promise.all([ana, binh, chi, dung, user(5n)].map(unread)), [
      3,
      1,
      2,
      0,
      undefined,
    ]);
    const { state } = await messages(ana).markThreadRead({ channelId, rootMessageId, all: true });
    assert.equal(state?.unreadCount, 0);
    const id = await reply(chi);
    assert.equal(await unread(ana), 1);
    await messages(chi).deleteMessage({ channelId, messageId: id });
    assert.deepEqual(await Promise.all([ana, binh, dung].map(unread)), [0, 1, 0]);
  });

  it('move the marker forward only', async () => {
    await start();
    const ids = [await reply(binh), await reply(binh), await reply(binh)];
    const mark = (messageId = 0n) => messages(ana).markThreadRead({ channelId, rootMessageId, messageId });
    assert.equal((await mark(ids[1])).state?.unreadCount, 1);
    assert.equal((await mark(ids[0])).state?.lastReadMessageId, ids[1]);
    await rejects(mark(rootMessageId), Code.NotFound, 'MESSAGE_NOT_FOUND');
    const stranger = messages(chi).markThreadRead({ channelId, rootMessageId, all: true });
    await rejects(stranger, Code.NotFound, 'MESSAGE_NOT_FOUND');
    for (const to of [{}, { messageId: ids[0] ?? 0n, all: true }])
      await rejects(
        messages(ana).markThreadRead({ channelId, rootMessageId, ...to }),
        Code.InvalidArgument,
        'FIELD_INVALID',
      );
  });

  it('signal the marker to the caller’s other devices', async () => {
    await start();
    const first = await reply(binh);
    await reply(binh);
    const [own, other] = await Promise.all(
      [ana, binh].map((as) => new Subscriber(the.client(EventService, as, 'web')).connect()),
    );
    const mark = (to: object) => messages(ana).markThreadRead({ channelId, rootMessageId, ...to });
    const reported = () => {
      const moved = own?.last('threadMarkerMoved')?.value;
      assert.deepEqual([moved?.channelId, moved?.rootMessageId], [channelId, rootMessageId]);
      return [moved?.lastReadMessageId, moved?.unreadCount];
    };
    await mark({ messageId: first });
    await until(() => own?.count('threadMarkerMoved') === 1);
    assert.deepEqual(reported(), [first, 1]);
    await mark({ messageId: first });
    const { state } = await mark({ all: true });
    await until(() => own?.count('threadMarkerMoved') === 2);
    assert.deepEqual(reported(), [state?.lastReadMessageId, 0]);
    assert.equal(other?.count('threadMarkerMoved'), 0);
    await Promise.all([own?.disconnect(), other?.disconnect()]);
  });

  it('stay unfollowed after replies and mentions, and start at the present when followed again', async () => {
    await start();
    await reply(binh);
    await messages(ana).unfollowThread({ channelId, rootMessageId });
    await messages(chi).unfollowThread({ channelId, rootMessageId });
    await reply(binh, { mentionUserIds: [1n, 3n] });
    await reply(ana);
    assert.deepEqual(await Promise.all([ana, chi].map(unread)), [undefined, undefined]);
    const { state } = await messages(ana).followThread({ channelId, rootMessageId });
    assert.deepEqual([state?.following, state?.unreadCount], [true, 0]);
    await reply(binh);
    await messages(ana).followThread({ channelId, rootMessageId });
    assert.equal(await unread(ana), 1);
  });

  it('are listed by latest reply, optionally unread ones only, until the user leaves the channel', async () => {
    const reader = user(11n);
    const roots: bigint[] = [];
    for (let index = 0; index < 5; index += 1) {
      await start(reader);
      await reply(binh);
      roots.unshift(rootMessageId);
    }
    await messages(reader).markThreadRead({ channelId, rootMessageId: roots[2] ?? 0n, all: true });
    const list = async (request: object) => {
      const seen: (bigint | undefined)[] = [];
      for (let pageToken = ''; ; ) {
        const page = await messages(reader).listThreads({ pageSize: 2, pageToken, ...request });
        seen.push(...page.entries.map((entry) => entry.root?.id));
        pageToken = page.nextPageToken;
        if (pageToken === '') return seen;
      }
    };
    assert.deepEqual(await list({}), roots);
    assert.deepEqual(await list({ channelId: 999n }), []);
    assert.deepEqual(
      await list({ unreadOnly: true }),
      roots.filter((_, index) => index !== 2),
    );
    await messages(reader).deleteMessage({ channelId, messageId: roots[0] ?? 0n });
    assert.deepEqual(await list({}), roots.slice(1));
    await the.client(MemberService, reader).leaveChannel({ channelId });
    assert.deepEqual(await list({}), []);
    await the.client(MemberService, ana).addMembers({ channelId, userIds: [11n] });
    assert.deepEqual(await list({}), roots.slice(1));
    assert.deepEqual(await list({ unreadOnly: true }), [], 'what came before rejoining is read');
  });

  it('show replies with also_in_channel in the channel', async () => {
    await start();
    const hidden = await reply(binh);
    const shown = await reply(binh, { alsoInChannel: true });
    const list = async (withoutReplies: boolean) => {
      const page = await messages(chi).listMessages({ channelId, withoutReplies, pageSize: 3 });
      return page.messages.map(({ id }) => id);
    };
    assert.deepEqual(await list(false), [rootMessageId, hidden, shown]);
    assert.deepEqual((await list(true)).slice(-2), [rootMessageId, shown]);
    const page = await messages(chi).listMessages({
      channelId,
      withoutReplies: true,
      position: { case: 'afterMessageId', value: rootMessageId },
    });
    assert.deepEqual(
      page.messages.map(({ id, alsoInChannel }) => [id, alsoInChannel]),
      [[shown, true]],
    );
  });
});
