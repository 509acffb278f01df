import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Code } from '@connectrpc/connect';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { type App, type As, app } from '../../test/kit/app.ts';
import { untilLocksAreAwaited } from '../../test/kit/locks.ts';
import { memberFixture, stored } from '../../test/kit/member-fixture.ts';
import { fieldsOf, rejects } from '../../test/kit/rejects.ts';
import { Subscriber } from '../../test/kit/stream.ts';
import { until } from '../../test/kit/until.ts';

const user = (id: number): As => ({ userId: BigInt(id), tenantId: 1n });
const [ana, binh, stranger] = [user(1), user(2), user(99)];
const foreigner = { userId: 1n, tenantId: 2n };

describe('MemberService', () => {
  let the: App;

  before(async () => {
    the = await app();
    await the.start();
  });
  after(() => the.close());

  const { members, group, send, own } = memberFixture(() => the);

  describe('MarkRead', () => {
    it('moves forward only, to a message or, if all are read, to the newest, and returns the exact unread count', async () => {
      const channelId = await group({ 2: 'MEMBER' });
      const ids: bigint[] = [];
      for (const as of [ana, ana, binh, ana, binh, ana]) ids.push(await send(channelId, as));
      const mark = (index: number) => members(binh).markRead({ channelId, messageId: ids[index] ?? 0n });
      assert.equal((await own(channelId, binh))?.unreadCount, 4);
      const steps = [await mark(1), await mark(3), await mark(0), await mark(2)];
      assert.deepEqual(
        steps.map(({ lastReadMessageId, unreadCount }) => [ids.indexOf(lastReadMessageId), unreadCount]),
        [
          [1, 2],
          [3, 1],
          [3, 1],
          [3, 1],
        ],
      );
      const all = await members(binh, 1, 'web').markRead({ channelId, all: true });
      assert.deepEqual([all.lastReadMessageId, all.unreadCount], [ids[5], 0]);
      assert.equal((await stored(the, channelId, binh)).unreadCount, 0);
      assert.equal((await members(ana).markRead({ channelId, messageId: ids[2] ?? 0n })).unreadCount, 1);
    });

    it('excludes own and deleted messages from the count at every marker', async () => {
      const senders = [binh, ana, binh, binh, ana, binh, ana, ana, binh];
      const deleted = [0, 3, 4, 5, 8];
      for (const from of senders.keys()) {
        const channelId = await group({ 2: 'MEMBER' });
        const ids: bigint[] = [];
        for (const as of senders) ids.push(await send(channelId, as));
        for (const index of deleted)
          await the.owner`update messages set is_deleted = true where id = ${ids[index] ?? 0n}`;
        for (const index of ids.keys()) {
          if (index < from) continue;
          const { unreadCount } = await members(binh).markRead({ channelId, messageId: ids[index] ?? 0n });
          const left = [...senders.keys()].filter(
            (i) => i > index && senders[i] === ana && !deleted.includes(i),
          );
          assert.equal(unreadCount, left.length, `at ${index}, first at ${from}`);
        }
      }
    });

    for (const order of [
      [1, 3],
      [3, 1],
    ]) {
      it(`keeps the farther of two concurrent moves, in the order ${order.join(', ')}`, async () => {
        const channelId = await group({ 2: 'MEMBER' });
        const ids: bigint[] = [];
        for (const as of [ana, binh, ana, binh, ana]) ids.push(await send(channelId, as));
        const calls: Promise<unknown>[] = [];
        await the.owner.begin(async (sql) => {
          await sql`select from channel_members where channel_id = ${channelId} and user_id = 2 for update`;
          for (const index of order) {
            calls.push(members(binh, index % 2).markRead({ channelId, messageId: ids[index] ?? 0n }));
            await untilLocksAreAwaited(the, calls.length);
          }
        });
        await Promise.all(calls);
        const membership = await own(channelId, binh);
        assert.deepEqual([membership?.lastReadMessageId, membership?.unreadCount], [ids[3], 1]);
        assert.equal((await stored(the, channelId, binh)).unreadCount, 1);
      });
    }

    it('is rejected when the membership ends meanwhile', async () => {
      const channelId = await group({ 2: 'MEMBER' }, true);
      const messageId = await send(channelId);
      let call: Promise<unknown> = Promise.resolve();
      await the.owner.begin(async (sql) => {
        await sql`update channel_members set status = 'REMOVED' where channel_id = ${channelId} and user_id = 2`;
        call = members(binh).markRead({ channelId, messageId });
        call.catch(() => {});
        await untilLocksAreAwaited(the, 1);
      });
      await rejects(call, Code.NotFound, 'CHANNEL_NOT_FOUND');
    });

    it('signals the reader’s streams on every instance, and no others', async () => {
      const channelId = await group({ 2: 'MEMBER' });
      const messageId = await send(channelId);
      const streams = await Promise.all([
        new Subscriber(the.client(EventService, binh, 'grpc', 0), [channelId]).connect(),
        new Subscriber(the.client(EventService, binh, 'web', 1), [channelId]).connect(),
        new Subscriber(the.client(EventService, ana, 'grpc', 1), [channelId]).connect(),
      ]);
      const [first, second, others] = streams;
      await members(binh).markRead({ channelId, messageId });
      await until(() => first?.count('readMarkerMoved') === 1 && second?.count('readMarkerMoved') === 1);
      const moved = second?.last('readMarkerMoved')?.value;
      assert.deepEqual(
        [moved?.channelId, moved?.lastReadMessageId, moved?.unreadCount],
        [channelId, messageId, 0],
      );
      await members(binh).markRead({ channelId, messageId });
      await send(channelId);
      await until(
        () => first?.events.length === 1 && second?.events.length === 1 && others?.events.length === 1,
      );
      assert.deepEqual(
        streams.map((stream) => stream.count('readMarkerMoved')),
        [1, 1, 0],
      );
      await Promise.all(streams.map((stream) => stream.disconnect()));
    });

    it('does nothing in a channel without messages', async () => {
      const channelId = await group();
      const { lastReadMessageId, unreadCount } = await members(ana).markRead({ channelId, all: true });
      assert.deepEqual([lastReadMessageId, unreadCount], [0n, 0]);
      await rejects(members(ana).markRead({ channelId, messageId: 1n }), Code.NotFound, 'MESSAGE_NOT_FOUND');
    });

    it('rejects messages of other channels, and channels of others', async () => {
      const [shown, hidden] = [await group(), await group({}, true)];
      const messageId = await send(hidden);
      await send(shown);
      const mark = (as: As, channelId: bigint) => members(as).markRead({ channelId, messageId });
      await rejects(mark(ana, shown), Code.NotFound, 'MESSAGE_NOT_FOUND');
      await rejects(mark(stranger, shown), Code.NotFound, 'MEMBER_NOT_FOUND');
      await rejects(mark(stranger, hidden), Code.NotFound, 'CHANNEL_NOT_FOUND');
      await rejects(mark(foreigner, hidden), Code.NotFound, 'CHANNEL_NOT_FOUND');
      assert.deepEqual(await fieldsOf(members(ana).markRead({ channelId: shown, messageId: -1n })), [
        'message_id',
      ]);
      for (const to of [{}, { messageId: 0n }, { messageId, all: true }])
        assert.deepEqual(await fieldsOf(members(ana).markRead({ channelId: hidden, ...to })), ['request']);
      assert.equal((await own(hidden, ana))?.lastReadMessageId, 0n);
    });
  });
});
