import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Code, ConnectError } from '@connectrpc/connect';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, type As, app } from '../../test/kit/app.ts';
import { untilLocksAreAwaited } from '../../test/kit/locks.ts';
import { until } from '../../test/kit/until.ts';
import { KeyedMutex } from './keyed-mutex.ts';

const CALLERS = 20;
const lan: As = { userId: 1n, tenantId: 1n };
const binh: As = { userId: 1n, tenantId: 2n };
const at = (index: number): As => ({ userId: BigInt(100 + index), tenantId: 1n });

describe('a locked channel', () => {
  let the: App;

  before(async () => {
    // On a slow machine, the calls that wait take longer than the default deadline.
    the = await app({ DATABASE_CONNECTIONS: '4', DEFAULT_DEADLINE_MS: '60000' });
  });
  after(() => the.close());

  const messages = (as: As) => the.client(MessageService, as);
  /** A group with a message. */
  const group = async (as: As) => {
    const memberUserIds = Array.from({ length: CALLERS }, (_, index) => at(index).userId);
    const { channel } = await the.client(ChannelService, as).createChannel({ name: 'Kho', memberUserIds });
    const channelId = channel?.id ?? 0n;
    const { message } = await messages(as).sendMessage({ channelId, content: 'gốc' });
    return { channelId, messageId: message?.id ?? 0n };
  };
  type Target = Awaited<ReturnType<typeof group>>;
  const lock = async ({ channelId }: Target) => {
    const connection = await the.owner.reserve();
    await connection`begin`;
    await connection`select from channels where id = ${channelId} for no key update`;
    return async () => {
      await connection`rollback`;
      connection.release();
    };
  };
  /** Five kinds of calls that lock the channel's row. */
  const callAll = (as: As, user: As, { channelId, messageId }: Target, index: number) => [
    messages(user).sendMessage({ channelId, content: `tin ${index}` }),
    messages(user).addReaction({ channelId, messageId, emoji: '👍' }),
    messages(as).editMessage({
      channelId,
      messageId,
      content: `sửa ${index}`,
      updateMask: { paths: ['content'] },
    }),
    the.client(MemberService, as).addMembers({ channelId, userIds: [BigInt(1_000 + index)] }),
    the
      .client(ChannelService, as)
      .updateChannel({ channelId, name: `Kho ${index}`, updateMask: { paths: ['name'] } }),
  ];
  const running = async () => {
    const { values = [] } = (await the.instances[0]?.deps.metrics.callsRunning.get()) ?? {};
    return values.reduce((sum, { value }) => sum + value, 0);
  };

  /** Waits until the batch that waits now for a lock has given up. */
  const untilLockTimeout = async () => {
    const started = () => the.owner<{ at: string }[]>`
      select query_start::text as at
      from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock'
    `;
    const [before] = await started();
    await until(async () => {
      const [now] = await started();
      return now !== undefined && now.at !== before?.at;
    }, 'the next batch');
  };

  it('delays the calls that need it, and no call of another channel or tenant', async () => {
    const [locked, free, foreign] = [await group(lan), await group(lan), await group(binh)];
    const release = await lock(locked);
    let done = 0;
    const waiting = Array.from({ length: CALLERS }, (_, index) =>
      callAll(lan, at(index), locked, index).map((call) =>
        call.finally(() => {
          done += 1;
        }),
      ),
    ).flat();
    await untilLocksAreAwaited(the, 3);
    await until(async () => (await running()) >= waiting.length, 'the arrival of all calls');
    for (let round = 0; round < 3; round += 1) {
      await Promise.all(callAll(lan, at(round), free, round));
      await Promise.all(callAll(binh, binh, foreign, round));
      await the.client(ChannelService, binh).listChannels({});
    }
    assert.equal(done, 0);
    await release();
    await Promise.all(waiting);
    const { messages: posted } = await messages(lan).listMessages({
      channelId: locked.channelId,
      pageSize: 100,
    });
    const sent = posted.filter(({ content }) => content.startsWith('tin'));
    assert.equal(sent.length, CALLERS);
    const [{ reactions } = { reactions: [] }] = posted.filter(({ id }) => id === locked.messageId);
    assert.equal(reactions[0]?.userIds.length, CALLERS);
  });

  it('does not hold all connections when there are more of them than connections', async () => {
    const targets = await Promise.all(Array.from({ length: 3 }, () => group(lan)));
    const foreign = await group(binh);
    const releases = await Promise.all(targets.map(lock));
    const waiting = targets.flatMap((target, index) => callAll(lan, at(index), target, index));
    await untilLocksAreAwaited(the, 4);
    await Promise.all(callAll(binh, binh, foreign, 1));
    for (const release of releases) await release();
    await Promise.all(waiting);
  });

  it('keeps the order of its messages, whose batch waits several times', async () => {
    const { channelId } = await group(lan);
    const release = await lock({ channelId, messageId: 0n });
    const contents = ['một', 'hai', 'ba'];
    const sends: Promise<unknown>[] = [];
    for (const content of contents) {
      sends.push(messages(lan).sendMessage({ channelId, content }));
      await untilLocksAreAwaited(the, 1);
      await untilLockTimeout();
    }
    await release();
    await Promise.all(sends);
    const { messages: posted } = await messages(lan).listMessages({ channelId });
    assert.deepEqual(
      posted.slice(-contents.length).map(({ content }) => content),
      contents,
    );
  });

  it('lets its waiting calls end at their deadline', async () => {
    const target = await group(lan);
    const release = await lock(target);
    const ended = await Promise.all(
      [0, 1, 2].map((index) =>
        messages(at(index))
          .addReaction({ ...target, emoji: '👍' }, { timeoutMs: 300 })
          .then(
            () => undefined,
            (error: unknown) => ConnectError.from(error).code,
          ),
      ),
    );
    assert.deepEqual(ended, [Code.DeadlineExceeded, Code.DeadlineExceeded, Code.DeadlineExceeded]);
    await release();
    await messages(at(4)).addReaction({ ...target, emoji: '👍' });
  });
});

describe('KeyedMutex', () => {
  const never = new AbortController().signal;

  it('runs work of one key in order, and work of other keys and tenants at once', async () => {
    const mutex = new KeyedMutex(10);
    const order: string[] = [];
    const gate = Promise.withResolvers<void>();
    const work = (name: string) => async () => {
      if (name === 'a1') await gate.promise;
      order.push(name);
    };
    const all = [
      mutex.run(1n, 'a', never, work('a1')),
      mutex.run(1n, 'a', never, work('a2')),
      mutex.run(1n, 'a', never, work('a3')),
      mutex.run(2n, 'a', never, work('other tenant')),
      mutex.run(1n, 'b', never, work('other key')),
    ];
    await Promise.all(all.slice(3));
    gate.resolve();
    await Promise.all(all);
    assert.deepEqual(order, ['other tenant', 'other key', 'a1', 'a2', 'a3']);
  });

  it('passes the turn on after a failure, and skips callers that gave up', async () => {
    const mutex = new KeyedMutex(10);
    const gate = Promise.withResolvers<void>();
    const first = mutex.run(1n, 'a', never, () => gate.promise);
    const controller = new AbortController();
    const second = mutex.run(1n, 'a', controller.signal, async () => assert.fail('has given up'));
    const third = mutex.run(1n, 'a', never, async () => 'third');
    controller.abort(new Error('gave up'));
    await assert.rejects(second, /gave up/);
    gate.reject(new Error('failed'));
    await assert.rejects(first, /failed/);
    assert.equal(await third, 'third');
    assert.equal(await mutex.run(1n, 'a', never, async () => 'free'), 'free');
  });

  it('rejects the newest call of the tenant with the most waiting calls when too many wait', async () => {
    const mutex = new KeyedMutex(2);
    const gate = Promise.withResolvers<void>();
    const running = [1n, 2n].map((tenantId) => mutex.run(tenantId, 'a', never, () => gate.promise));
    const kept = mutex.run(1n, 'a', never, async () => 'kept');
    const dropped = mutex.run(1n, 'a', never, async () => 'dropped');
    const other = mutex.run(2n, 'a', never, async () => 'other');
    await assert.rejects(dropped, /overloaded/);
    gate.resolve();
    await Promise.all(running);
    assert.deepEqual(await Promise.all([kept, other]), ['kept', 'other']);
  });
});
