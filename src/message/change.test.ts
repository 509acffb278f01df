import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Code } from '@connectrpc/connect';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import type { Event } from '#gen/serp/discuss/v1/event_pb.ts';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { MessageType } from '#gen/serp/discuss/v1/message_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, type As, app } from '../../test/kit/app.ts';
import { groupWithAdmin } from '../../test/kit/groups.ts';
import { rejects } from '../../test/kit/rejects.ts';
import { Subscriber } from '../../test/kit/stream.ts';
import { until } from '../../test/kit/until.ts';
import { toEvent } from '../event/log/wire.ts';

const user = (id: bigint, tenantId = 1n): As => ({ userId: id, tenantId });
const [ana, binh, admin, stranger, foreigner] = [user(1n), user(2n), user(3n), user(4n), user(1n, 2n)];
const service: As = { userId: 0n, tenantId: 1n, roles: ['discuss.service'] };
const content = ['content'];

describe('changing messages', () => {
  let the: App;
  let channelId: bigint;

  before(async () => {
    the = await app({ EVENT_REPLAY_PAGE: '10', EVENT_POLL_MS: '500' });
    await the.start();
    channelId = await groupWithAdmin(the);
  });
  after(() => the.close());

  const messages = (as: As, instance = 0) => the.client(MessageService, as, 'grpc', instance);
  const group = (isPrivate = true) => groupWithAdmin(the, isPrivate);
  const send = async (text: string, as = ana, rest: object = {}) => {
    const { message } = await messages(as).sendMessage({ channelId, content: text, ...rest });
    assert.ok(message);
    return message;
  };
  const edit = (messageId: bigint, text: string, as = ana, rest: object = {}) =>
    messages(as).editMessage({
      channelId,
      messageId,
      content: text,
      updateMask: { paths: content },
      ...rest,
    });
  const read = async (messageId: bigint, as = binh) =>
    (await messages(as).getMessage({ channelId, messageId })).message;
  const events = async (messageId: bigint): Promise<Event[]> => {
    const rows = await the.owner<{ payload: Buffer }[]>`
      select payload from channel_events where message_id = ${messageId} order by seq
    `;
    return rows.map(({ payload }) => toEvent(payload));
  };

  it('a muted author may delete the own message, and change nothing else', async () => {
    const [own, other] = [await send('của tôi', binh), await send('của người khác', ana)];
    const setStatus = (status: string) => the.owner`
      update channel_members set status = ${status} where channel_id = ${channelId} and user_id = ${binh.userId}
    `;
    await setStatus('MUTED');
    try {
      await rejects(edit(own.id, 'khác', binh), Code.PermissionDenied, 'ROLE_TOO_LOW');
      await rejects(
        messages(binh).deleteMessage({ channelId, messageId: other.id }),
        Code.PermissionDenied,
        'ROLE_TOO_LOW',
      );
      const { message } = await messages(binh).deleteMessage({ channelId, messageId: own.id });
      assert.ok(message?.deleteTime);
    } finally {
      await setStatus('ACTIVE');
    }
  });

  describe('EditMessage', () => {
    it('changes the fields in the mask, keeps earlier versions and appends an event with the returned message', async () => {
      const { id } = await send('một', ana, { mentionUserIds: [2n], metadata: { a: 1 } });
      await edit(id, 'hai');
      const { message } = await edit(id, 'ba', ana, {
        mentionUserIds: [3n, 77n],
        metadata: { b: 2 },
        updateMask: { paths: ['content', 'mention_user_ids', 'metadata'] },
      });
      assert.deepEqual(await read(id), message);
      assert.deepEqual(
        [message?.content, message?.mentionUserIds, message?.metadata],
        ['ba', [3n], { b: 2 }],
      );
      assert.ok(message?.editTime);
      const { versions } = await messages(binh).listEdits({ channelId, messageId: id });
      assert.deepEqual(
        versions.map((version) => [
          version.version,
          version.content,
          version.mentionUserIds,
          version.metadata,
        ]),
        [
          [2, 'hai', [2n], { a: 1 }],
          [1, 'một', [2n], { a: 1 }],
        ],
      );
      const logged = await events(id);
      assert.deepEqual(
        logged.map(({ change }) => change.case),
        ['messageCreated', 'messageEdited', 'messageEdited'],
      );
      const { change } = logged[2] as Event;
      assert.deepEqual(change.case === 'messageEdited' ? change.value.message : undefined, message);
    });

    it('creates neither version nor event when nothing changes or the call is repeated', async () => {
      const { id } = await send('như cũ', ana, { metadata: { b: 1, a: [2] } });
      await edit(id, 'như cũ', ana, {
        metadata: { a: [2], b: 1 },
        updateMask: { paths: ['content', 'metadata'] },
      });
      assert.equal((await read(id))?.editTime, undefined);
      await Promise.all([edit(id, 'mới'), edit(id, 'mới'), edit(id, 'mới')]);
      const { versions } = await messages(ana).listEdits({ channelId, messageId: id });
      assert.equal(versions.length, 1);
      assert.equal((await events(id)).length, 2);
    });

    it('is allowed for the author, within the edit window, for text', async () => {
      const { id } = await send('của ana');
      await rejects(edit(id, 'x', binh), Code.PermissionDenied, 'CALLER_NOT_ALLOWED');
      await rejects(edit(id, 'x', admin), Code.PermissionDenied, 'CALLER_NOT_ALLOWED');
      await rejects(edit(id, 'x', stranger), Code.NotFound, 'MESSAGE_NOT_FOUND');
      await rejects(edit(id, 'x', foreigner), Code.NotFound, 'MESSAGE_NOT_FOUND');
      await rejects(edit(id, ' '), Code.InvalidArgument, 'FIELD_INVALID');
      await rejects(
        edit(id, 'x', ana, { updateMask: { paths: ['parent_id'] } }),
        Code.InvalidArgument,
        'FIELD_INVALID',
      );
      await the.owner`update messages set created_at = created_at - 86400001 where id = ${id}`;
      await rejects(edit(id, 'x'), Code.FailedPrecondition, 'EDIT_WINDOW_EXPIRED');
      const poll = await send('hỏi', ana, { type: MessageType.POLL, poll: { options: ['a', 'b'] } });
      await rejects(edit(poll.id, 'x'), Code.FailedPrecondition, 'MESSAGE_TYPE_UNSUPPORTED');
      assert.equal((await read(id))?.content, 'của ana');
    });
  });

  describe('DeleteMessage', () => {
    it('leaves a tombstone without content in every response', async () => {
      const { id } = await send('bí mật một', ana, { metadata: { k: 'bí mật' }, mentionUserIds: [2n] });
      await edit(id, 'bí mật hai');
      await messages(binh).addReaction({ channelId, messageId: id, emoji: '👍' });
      await messages(binh).pinMessage({ channelId, messageId: id });
      const { message } = await messages(ana).deleteMessage({ channelId, messageId: id });
      assert.ok(message?.deleteTime);
      assert.deepEqual(
        [message.content, message.metadata, message.mentionUserIds, message.reactions, message.deleterId],
        ['', undefined, [], [], 1n],
      );
      assert.deepEqual(await read(id), message);
      const { messages: page } = await messages(binh).listMessages({ channelId });
      assert.deepEqual(
        page.find((listed) => listed.id === id),
        message,
      );
      assert.deepEqual((await messages(binh).listEdits({ channelId, messageId: id })).versions, []);
      assert.deepEqual((await messages(binh).listPins({ channelId })).messages, []);
      const { entries } = await the.client(ChannelService, binh).listChannels({});
      assert.ok(!JSON.stringify(entries.map(({ lastMessage }) => lastMessage?.content)).includes('bí mật'));
      for (const event of await events(id)) {
        assert.ok(event.change.case === 'messageCreated' || event.change.case === 'messageDeleted');
        assert.equal(event.change.value.message?.content, '');
        assert.ok(event.change.value.message.deleteTime);
      }
    });

    it('is allowed for the author and for admins, and changes nothing when repeated', async () => {
      const { id } = await send('một');
      const other = await send('hai');
      const erase = (as: As, messageId = id) => messages(as).deleteMessage({ channelId, messageId });
      await rejects(erase(binh), Code.PermissionDenied, 'ROLE_TOO_LOW');
      await rejects(erase(stranger), Code.NotFound, 'MESSAGE_NOT_FOUND');
      const first = await erase(admin);
      assert.equal(first.message?.deleterId, 3n);
      assert.deepEqual(await erase(ana), first);
      assert.equal((await erase(service, other.id)).message?.deleterId, 0n);
      assert.equal((await events(id)).length, 2);
      await rejects(edit(id, 'x'), Code.FailedPrecondition, 'MESSAGE_DELETED');
      const reply = messages(ana).sendMessage({ channelId, content: 'x', replyToMessageId: id });
      await rejects(reply, Code.FailedPrecondition, 'MESSAGE_DELETED');
    });

    it('removes the message from the unread count, and previews the message before it', async () => {
      channelId = await group();
      await send('cũ');
      const { id } = await send('mới');
      const entry = async () => {
        const { entries } = await the.client(ChannelService, binh).listChannels({});
        const found = entries.find(({ channel }) => channel?.id === channelId);
        return [found?.membership?.unreadCount, found?.lastMessage?.content];
      };
      assert.deepEqual(await entry(), [2, 'mới']);
      await messages(ana).deleteMessage({ channelId, messageId: id });
      assert.deepEqual(await entry(), [1, 'cũ']);
    });

    it('redacts the event for streams that read the log later, on every instance, with Redis and without', async () => {
      channelId = await group();
      for (let index = 0; index < 25; index += 1) await send(`bí mật ${index}`);
      const staying: Subscriber[] = [];
      const replay = async (instance: number, stays = false) => {
        const subscriber = new Subscriber(the.client(EventService, binh, 'web', instance), [channelId]);
        subscriber.cursors.set(channelId, 0n);
        await subscriber.connect();
        const { headSeq } = await the.client(ChannelService, binh).getChannel({ channelId });
        await until(() => subscriber.cursors.get(channelId) === headSeq, 'the log');
        if (stays) staying.push(subscriber);
        else await subscriber.disconnect();
        assert.deepEqual(subscriber.faults, []);
        return subscriber.messages(channelId).filter((text) => text !== '');
      };
      const posted = (await messages(ana).listMessages({ channelId })).messages;
      const ids = posted.filter(({ notice }) => notice === undefined).map(({ id }) => id);
      for (const instance of [0, 1]) assert.equal((await replay(instance)).length, 25);
      await messages(ana, 0).deleteMessage({ channelId, messageId: ids[3] ?? 0n });
      for (const instance of [0, 1])
        await until(async () => (await replay(instance)).length === 24, 'the event of the deletion');
      await the.redis.stop();
      await messages(ana, 0).deleteMessage({ channelId, messageId: ids[5] ?? 0n });
      // A stream that starts before the poll must not make the instance take its state for complete.
      await replay(1, true);
      for (const instance of [0, 1]) {
        await until(async () => (await replay(instance)).length === 23, 'the poll of the log');
        assert.ok(!(await replay(instance)).some((text) => text === 'bí mật 3' || text === 'bí mật 5'));
      }
      await the.redis.start();
      await Promise.all(staying.map((subscriber) => subscriber.disconnect()));
    });
  });

  it('changes of messages in an archived channel are rejected', async () => {
    channelId = await group();
    const { id: messageId } = await send('x');
    await the.owner`update channels set is_archived = true where id = ${channelId}`;
    const named = { channelId, messageId };
    for (const call of [
      () => edit(messageId, 'y'),
      () => messages(ana).deleteMessage(named),
      () => messages(ana).addReaction({ ...named, emoji: '👍' }),
      () => messages(ana).pinMessage(named),
      () => messages(ana).votePoll({ ...named, optionIds: [1] }),
    ])
      await rejects(call(), Code.FailedPrecondition, 'CHANNEL_ARCHIVED');
  });
});
