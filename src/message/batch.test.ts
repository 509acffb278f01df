import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Code } from '@connectrpc/connect';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { MessageType } from '#gen/serp/discuss/v1/message_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, type As, app } from '../../test/kit/app.ts';
import { rejects } from '../../test/kit/rejects.ts';

const user = (userId: bigint, tenantId = 1n): As => ({ userId, tenantId });
const [ana, binh] = [user(1n), user(2n)];
const service: As = { userId: 0n, tenantId: 1n, roles: ['discuss.service'] };
const named: As = { ...service, tenantId: 0n, tenants: [1n], actsIn: 1n };

describe('MessageService', () => {
  let the: App;
  let channelId = 0n;
  let rootId = 0n;
  let replyId = 0n;
  let pollId = 0n;

  const messages = (as: As, edge: 'grpc' | 'web' = 'grpc') => the.client(MessageService, as, edge);
  const create = async (as: As) => {
    const { channel } = await the.client(ChannelService, as).createChannel({ name: 'Kín', private: true });
    return channel?.id ?? 0n;
  };
  const send = async (fields: object, to = channelId, as = ana) => {
    const { message } = await messages(as).sendMessage({ channelId: to, content: 'chào', ...fields });
    return message?.id ?? 0n;
  };

  before(async () => {
    the = await app();
    channelId = await create(ana);
    rootId = await send({});
    replyId = await send({ replyToMessageId: rootId });
    pollId = await send({ type: MessageType.POLL, poll: { options: ['a', 'b'] } });
    await messages(ana).votePoll({ channelId, messageId: pollId, optionIds: [2] });
    await messages(ana).pinMessage({ channelId, messageId: rootId });
    await messages(ana).addReaction({ channelId, messageId: rootId, emoji: '👍' });
    const updateMask = { paths: ['content'] };
    await messages(ana).editMessage({ channelId, messageId: rootId, content: 'sửa', updateMask });
  });
  after(() => the.close());

  describe('reads of a service acting for itself', () => {
    it('return what members read, without the state of a member', async () => {
      for (const as of [service, named])
        for (const edge of ['grpc', 'web'] as const) {
          const [own, theirs] = [messages(ana), messages(as, edge)];
          const message = { channelId, messageId: rootId };
          assert.deepEqual(await theirs.getMessage(message), await own.getMessage(message));
          for (const position of [{ case: undefined }, { case: 'afterMessageId', value: 0n } as const])
            assert.deepEqual(
              await theirs.listMessages({ channelId, position }),
              await own.listMessages({ channelId, position }),
            );
          assert.deepEqual(await theirs.listEdits(message), await own.listEdits(message));
          assert.deepEqual(await theirs.listReactions(message), await own.listReactions(message));
          assert.deepEqual(await theirs.listPins({ channelId }), await own.listPins({ channelId }));
          const { state, ...thread } = await own.listThread({ channelId, rootMessageId: rootId });
          assert.ok(state?.following);
          assert.deepEqual(await theirs.listThread({ channelId, rootMessageId: rootId }), thread);
          const { poll, ownOptionIds } = await theirs.getPoll({ channelId, messageId: pollId });
          assert.deepEqual([poll?.options[1]?.voterUserIds, ownOptionIds], [[1n], []]);
        }
    });

    it('end at the tenant, and a service acting for a user reads no more than the user', async () => {
      const message = { channelId, messageId: rootId };
      for (const as of [{ ...service, tenantId: 2n }, { ...binh, roles: ['discuss.service'] }, binh]) {
        const client = messages(as);
        await rejects(client.getMessage(message), Code.NotFound, 'MESSAGE_NOT_FOUND');
        await rejects(client.listMessages({ channelId }), Code.NotFound, 'CHANNEL_NOT_FOUND');
        await rejects(client.listEdits(message), Code.NotFound, 'MESSAGE_NOT_FOUND');
        await rejects(client.listReactions(message), Code.NotFound, 'MESSAGE_NOT_FOUND');
        await rejects(client.listPins({ channelId }), Code.NotFound, 'CHANNEL_NOT_FOUND');
        const thread = client.listThread({ channelId, rootMessageId: rootId });
        await rejects(thread, Code.NotFound, 'MESSAGE_NOT_FOUND');
        await rejects(client.getPoll({ channelId, messageId: pollId }), Code.NotFound, 'MESSAGE_NOT_FOUND');
        const { entries, missingMessageIds } = await client.batchGetMessages({
          messageIds: [rootId, pollId],
        });
        assert.deepEqual([entries, missingMessageIds], [[], [rootId, pollId]]);
      }
    });
  });

  describe('BatchGetMessages', () => {
    it('returns messages of several channels in the order of the request, and names the missing ones', async () => {
      const other = await send({}, await create(ana));
      const hidden = await send({}, await create(binh), binh);
      const messageIds = [other, 999_999n, pollId, hidden, rootId, replyId];
      for (const as of [ana, { ...ana, roles: ['discuss.service'] }]) {
        const response = await messages(as).batchGetMessages({ messageIds });
        const ids = response.entries.map(({ message }) => message?.id);
        assert.deepEqual(ids, [other, pollId, rootId, replyId]);
        assert.deepEqual(response.missingMessageIds, [999_999n, hidden]);
      }
      const { entries } = await messages(service).batchGetMessages({ messageIds });
      assert.equal(entries.length, 5);
    });

    it('returns messages as GetMessage does, deleted ones without content, and the head of their channel', async () => {
      const messageId = await send({});
      await messages(ana).deleteMessage({ channelId, messageId });
      const { entries } = await messages(ana).batchGetMessages({ messageIds: [rootId, messageId] });
      const { headSeq } = await the.client(ChannelService, ana).getChannel({ channelId });
      for (const [index, id] of [rootId, messageId].entries()) {
        const { message } = await messages(ana).getMessage({ channelId, messageId: id });
        assert.deepEqual([entries[index]?.message, entries[index]?.headSeq], [message, headSeq]);
      }
      assert.equal(entries[1]?.message?.content, '');
    });

    it('leaves no id out when the response would be larger than 1 MB', async () => {
      const content = 'x'.repeat(60_000);
      const to = await create(ana);
      // Longer than the limit of characters, which counts grapheme clusters: written past the API.
      const ids = await Promise.all(Array.from({ length: 60 }, () => send({}, to)));
      await the.owner`update messages set content = ${content} where channel_id = ${to}`;
      const seen: (bigint | undefined)[] = [];
      let calls = 0;
      for (let messageIds = [900_001n, ...ids, 900_002n]; messageIds.length > 0; calls += 1) {
        const response = await messages(service).batchGetMessages({ messageIds });
        assert.ok(response.entries.length > 0);
        seen.push(...response.entries.map(({ message }) => message?.id));
        messageIds = response.remainingMessageIds;
      }
      assert.deepEqual([seen, calls], [ids, 4]);
    });

    it('rejects empty and too long requests', async () => {
      for (const messageIds of [[], [0n], Array.from({ length: 101 }, () => rootId)])
        await rejects(messages(ana).batchGetMessages({ messageIds }), Code.InvalidArgument, 'FIELD_INVALID');
    });
  });
});
