import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Code } from '@connectrpc/connect';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, type As, app } from '../../test/kit/app.ts';
import { untilLocksAreAwaited } from '../../test/kit/locks.ts';
import { rejects } from '../../test/kit/rejects.ts';
import { Subscriber } from '../../test/kit/stream.ts';
import { until } from '../../test/kit/until.ts';

const user = (id: number): As => ({ userId: BigInt(id), tenantId: 1n });
const [ana, binh, chi, stranger] = [user(1), user(2), user(3), user(99)];
const foreigner = { userId: 1n, tenantId: 2n };
const crm = { userId: 0n, tenantId: 1n, roles: ['discuss.service'] };

describe('read markers', () => {
  let the: App;

  before(async () => {
    the = await app({ CHANNEL_READERS_MAX_MEMBERS: '5' });
    await the.start();
  });
  after(() => the.close());

  const members = (as: As, instance = 0) => the.client(MemberService, as, 'grpc', instance);
  const channels = (as: As) => the.client(ChannelService, as);
  const group = async (memberUserIds: bigint[] = [2n], isPrivate = false) => {
    const { channel } = await channels(ana).createChannel({
      name: 'nhóm',
      private: isPrivate,
      memberUserIds,
    });
    return channel?.id ?? 0n;
  };
  const send = async (channelId: bigint, as: As = ana) => {
    const { message } = await the.client(MessageService, as).sendMessage({ channelId, content: 'tin' });
    return message?.id ?? 0n;
  };

  describe('MarkUnread', () => {
    it('excludes own and deleted messages from the count at every marker, and moves backward only', async () => {
      const senders = [binh, ana, binh, binh, ana, binh, ana, ana, binh];
      const deleted = [0, 3, 4, 5, 8];
      for (const from of senders.keys()) {
        const channelId = await group();
        const ids: bigint[] = [];
        for (const as of senders) ids.push(await send(channelId, as));
        for (const index of deleted)
          await the.client(MessageService, ana).deleteMessage({ channelId, messageId: ids[index] ?? 0n });
        await members(binh).markRead({ channelId, messageId: ids[from] ?? 0n });
        let marker = from;
        for (const index of [7, 8, 5, 6, 3, 4, 2, 1, 0]) {
          marker = Math.min(marker, index - 1);
          const answer = await members(binh).markUnread({ channelId, messageId: ids[index] ?? 0n });
          const left = [...senders.keys()].filter(
            (i) => i > marker && senders[i] === ana && !deleted.includes(i),
          );
          assert.deepEqual(
            [answer.lastReadMessageId, answer.unreadCount],
            [ids[marker] ?? 0n, left.length],
            `before ${index}, first at ${from}`,
          );
        }
        const all = await members(binh).markRead({ channelId, all: true });
        assert.deepEqual([all.lastReadMessageId, all.unreadCount], [ids.at(-1), 0]);
      }
    });

    for (const order of [
      ['back', 'forward'],
      ['forward', 'back'],
    ]) {
      it(`leaves the exact count when run concurrently with MarkRead, ${order.join(' before ')}`, async () => {
        const channelId = await group();
        const ids: bigint[] = [];
        for (const as of [ana, binh, ana, binh, ana]) ids.push(await send(channelId, as));
        await members(binh).markRead({ channelId, messageId: ids[2] ?? 0n });
        const calls: Promise<unknown>[] = [];
        await the.owner.begin(async (sql) => {
          await sql`select from channel_members where channel_id = ${channelId} and user_id = 2 for update`;
          for (const way of order) {
            const request = { channelId, messageId: ids[way === 'back' ? 1 : 4] ?? 0n };
            const client = members(binh, calls.length);
            calls.push(way === 'back' ? client.markUnread(request) : client.markRead(request));
            await untilLocksAreAwaited(the, calls.length);
          }
        });
        await Promise.all(calls);
        const { membership } = await channels(binh).getChannel({ channelId });
        const expected = order[0] === 'back' ? [ids[4], 0] : [ids[0], 2];
        assert.deepEqual([membership?.lastReadMessageId, membership?.unreadCount], expected);
      });
    }

    for (const order of [
      [1, 3],
      [3, 1],
    ]) {
      it(`keeps the farther of two concurrent moves back, in the order ${order.join(', ')}`, async () => {
        const channelId = await group();
        const ids: bigint[] = [];
        for (const as of [ana, binh, ana, binh, ana]) ids.push(await send(channelId, as));
        await members(binh).markRead({ channelId, all: true });
        const calls: Promise<unknown>[] = [];
        await the.owner.begin(async (sql) => {
          await sql`select from channel_members where channel_id = ${channelId} and user_id = 2 for update`;
          for (const index of order) {
            calls.push(members(binh, index % 2).markUnread({ channelId, messageId: ids[index] ?? 0n }));
            await untilLocksAreAwaited(the, calls.length);
          }
        });
        await Promise.all(calls);
        const { membership } = await channels(binh).getChannel({ channelId });
        assert.deepEqual([membership?.lastReadMessageId, membership?.unreadCount], [ids[0], 2]);
      });
    }

    it('signals the reader’s streams when the marker moved', async () => {
      const channelId = await group();
      const messageId = await send(channelId);
      await members(binh).markRead({ channelId, all: true });
      const stream = await new Subscriber(the.client(EventService, binh, 'web', 1), [channelId]).connect();
      await members(binh).markUnread({ channelId, messageId });
      await members(binh).markUnread({ channelId, messageId });
      await send(channelId);
      await until(() => stream.events.length === 1);
      assert.equal(stream.count('readMarkerMoved'), 1);
      const { lastReadMessageId, unreadCount } = stream.last('readMarkerMoved')?.value ?? {};
      assert.deepEqual([lastReadMessageId, unreadCount], [0n, 1]);
      await stream.disconnect();
    });

    it('has the highest version of concurrent moves in both directions, on streams, too', async () => {
      const channelId = await group();
      const ids: bigint[] = [];
      for (let index = 0; index < 10; index += 1) ids.push(await send(channelId));
      const { membership: before } = await channels(binh).getChannel({ channelId });
      const stream = await new Subscriber(the.client(EventService, binh), [channelId]).connect();
      const moves = await Promise.all(
        Array.from({ length: 20 }, (_, index) => {
          const call = { channelId, messageId: ids[index % 10] ?? 0n };
          const client = members(binh, index % 2);
          return index % 3 === 0 ? client.markUnread(call) : client.markRead(call);
        }),
      );
      const { membership } = await channels(binh).getChannel({ channelId });
      assert.ok(membership !== undefined && before !== undefined);
      const changes = membership.version - before.version;
      const isMoved = (payload: (typeof stream.others)[number]) => payload.case === 'readMarkerMoved';
      await until(() => stream.count('readMarkerMoved') === changes, 'all moves');
      const states = [...stream.others.filter(isMoved).map(({ value }) => value), ...moves];
      for (const { version, lastReadMessageId, unreadCount } of states)
        if (version === membership.version)
          assert.deepEqual(
            [lastReadMessageId, unreadCount],
            [membership.lastReadMessageId, membership.unreadCount],
          );
      const versions = new Set(stream.others.filter(isMoved).map(({ value }) => value.version));
      assert.deepEqual([versions.size, Math.max(...versions)], [changes, membership.version]);
      await stream.disconnect();
    });

    it('rejects messages of other channels, and channels of others', async () => {
      const [shown, hidden] = [await group(), await group([], true)];
      const messageId = await send(hidden);
      const mark = (as: As, channelId: bigint) => members(as).markUnread({ channelId, messageId });
      await rejects(mark(ana, shown), Code.NotFound, 'MESSAGE_NOT_FOUND');
      await rejects(mark(stranger, shown), Code.NotFound, 'MEMBER_NOT_FOUND');
      await rejects(mark(stranger, hidden), Code.NotFound, 'CHANNEL_NOT_FOUND');
      await rejects(mark(foreigner, hidden), Code.NotFound, 'CHANNEL_NOT_FOUND');
    });
  });

  describe('ListReaders', () => {
    it('lists the members whose marker reached the message, without its sender and members who joined later', async () => {
      const channelId = await group([2n, 3n, 5n]);
      const first = await send(channelId);
      const second = await send(channelId, binh);
      await members(user(4)).joinChannel({ channelId });
      const readers = async (messageId: bigint, as: As = chi) =>
        (await members(as).listReaders({ channelId, messageId })).userIds;
      assert.deepEqual(await readers(first), []);
      await members(chi).markRead({ channelId, messageId: first });
      await members(binh).markRead({ channelId, all: true });
      await members(ana).markRead({ channelId, all: true });
      await members(user(4)).markRead({ channelId, all: true });
      assert.deepEqual(await readers(first), [2n, 3n]);
      assert.deepEqual(await readers(second, crm), [1n]);
      await members(chi).markUnread({ channelId, messageId: first });
      await members(binh).leaveChannel({ channelId });
      assert.deepEqual(await readers(first), []);
    });

    it('is allowed for members of channels up to the size limit', async () => {
      const [channelId, hidden] = [await group([2n, 3n, 4n, 5n]), await group([], true)];
      const messageId = await send(channelId);
      const ask = (as: As, id = channelId) => members(as).listReaders({ channelId: id, messageId });
      await ask(binh);
      await rejects(ask(stranger), Code.PermissionDenied, 'ROLE_TOO_LOW');
      await rejects(ask(foreigner), Code.NotFound, 'CHANNEL_NOT_FOUND');
      await rejects(ask(stranger, hidden), Code.NotFound, 'CHANNEL_NOT_FOUND');
      await rejects(ask(ana, hidden), Code.NotFound, 'MESSAGE_NOT_FOUND');
      await members(user(6)).joinChannel({ channelId });
      await rejects(ask(binh), Code.FailedPrecondition, 'CHANNEL_TOO_LARGE');
    });
  });
});
