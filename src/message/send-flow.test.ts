import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, type As, app } from '../../test/kit/app.ts';
import { untilLocksAreAwaited } from '../../test/kit/locks.ts';
import { resultOf, SendStream } from '../../test/kit/send-stream.ts';
import { until } from '../../test/kit/until.ts';

const ana: As = { userId: 1n, tenantId: 1n };
const IN_FLIGHT = 4;
const BUFFER_BYTES = 65_536;
const LARGE = 'x'.repeat(9_000);
const MANY = 600;
// What both sides of grpc-js and HTTP/2 read ahead and buffer: 1 MB, of 5 MB.
const BETWEEN = 120;

describe('SendMessages', () => {
  let the: App;

  before(async () => {
    the = await app({
      WRITE_STREAM_IN_FLIGHT: `${IN_FLIGHT}`,
      EVENT_STREAM_BUFFER_BYTES: `${BUFFER_BYTES}`,
      DRAIN_TIMEOUT_MS: '20000',
    });
  });
  after(() => the.close());

  const createChannel = async () => {
    const { channel } = await the.client(ChannelService, ana).createChannel({ name: 'Kho' });
    return channel?.id ?? 0n;
  };
  const open = async (instance = 0, timeoutMs?: number) => {
    const headers = { authorization: `Bearer ${await the.tokens.sign(ana)}` };
    return new SendStream(the.instances[instance]?.grpcAddress ?? '', headers, timeoutMs);
  };
  const countPosted = async (channelId: bigint) => {
    const [row] = await the.owner<{ count: number }[]>`
      select count(*)::int as count from messages where channel_id = ${channelId}
    `;
    return row?.count ?? 0;
  };
  const areQueued = async (instance: number, count: number) => {
    const { writesWaiting } = the.instances[instance]?.deps.metrics ?? assert.fail('no instance');
    const [value] = (await writesWaiting.get()).values;
    return value?.value === count;
  };
  /** Runs `work` while no message can be posted in the channel. */
  const whileLocked = async (channelId: bigint, work: () => Promise<void>) => {
    await the.owner.begin(async (sql) => {
      await sql`select from channels where id = ${channelId} for update`;
      await work();
    });
  };

  it('reads no more requests than it may have in flight', async () => {
    const channelId = await createChannel();
    using stream = await open();
    await whileLocked(channelId, async () => {
      stream.send({ channelId, content: LARGE });
      await untilLocksAreAwaited(the, 1);
      for (let count = 1; count < MANY; count += 1) stream.send({ channelId, content: LARGE });
      await until(() => areQueued(0, IN_FLIGHT - 1), 'the queued messages');
      // Other calls go on meanwhile.
      for (let call = 0; call < 20; call += 1)
        await the.client(MessageService, ana).listMessages({ channelId });
      assert.ok(await areQueued(0, IN_FLIGHT - 1));
      assert.ok(stream.flushed <= IN_FLIGHT + BETWEEN, `${stream.flushed} requests left the client`);
    });
    await stream.untilOutcomes(MANY);
    stream.end();
    assert.equal(await stream.untilEnded(), 'OK');
    assert.equal(await countPosted(channelId), MANY);
  });

  it('reads no more requests than its buffer contains', async () => {
    const channelId = await createChannel();
    const instance = the.instances.indexOf(await the.start({ WRITE_STREAM_IN_FLIGHT: '1000' }));
    const inFlight = Math.ceil(BUFFER_BYTES / LARGE.length);
    using stream = await open(instance);
    await whileLocked(channelId, async () => {
      stream.send({ channelId, content: LARGE });
      await untilLocksAreAwaited(the, 1);
      for (let count = 1; count < 100; count += 1) stream.send({ channelId, content: LARGE });
      await until(() => areQueued(instance, inFlight - 1), 'the queued messages');
      for (let call = 0; call < 20; call += 1)
        await the.client(MessageService, ana, 'grpc', instance).listMessages({ channelId });
      assert.ok(await areQueued(instance, inFlight - 1));
    });
    await stream.untilOutcomes(100);
  });

  it('reads no more requests while its client does not read outcomes', async () => {
    const channelId = await createChannel();
    using stream = await open();
    stream.pause();
    for (let count = 0; count < MANY; count += 1) stream.send({ channelId, content: LARGE });
    let last = -1;
    let repeated = 0;
    await until(async () => {
      const count = await countPosted(channelId);
      repeated = count === last ? repeated + 1 : 0;
      last = count;
      return count > 0 && repeated === 20;
    }, 'no more messages');
    assert.ok(last <= IN_FLIGHT + BUFFER_BYTES / LARGE.length + BETWEEN, `${last} messages were posted`);
    stream.resume();
    await stream.untilOutcomes(MANY);
    stream.end();
    assert.equal(await stream.untilEnded(), 'OK');
    assert.equal(await countPosted(channelId), MANY);
  });

  it('ends an item at its own deadline, and goes on', async () => {
    const [channelId, other] = [await createChannel(), await createChannel()];
    const instance = await the.start({ DEFAULT_DEADLINE_MS: '300' });
    using stream = await open(the.instances.indexOf(instance));
    // Its shard is another one, so that it does not wait for the statement.
    const free = (channelId + other) % 2n === 1n ? other : await createChannel();
    await whileLocked(channelId, async () => {
      const late = stream.send({ channelId, content: 'muộn' });
      await untilLocksAreAwaited(the, 1);
      const inTime = stream.send({ channelId: free, content: 'đúng giờ' });
      const outcomes = await stream.untilOutcomes(2);
      assert.deepEqual(
        new Map(outcomes.map((outcome) => [outcome.requestId, resultOf(outcome)])),
        new Map([
          [inTime, 'OK'],
          [late, 'DEADLINE_EXCEEDED'],
        ]),
      );
    });
    stream.end();
    assert.equal(await stream.untilEnded(), 'OK');
  });

  it('ends at the deadline of its client', async () => {
    using stream = await open(0, 300);
    assert.match(await stream.untilEnded(), /^DEADLINE_EXCEEDED/);
  });

  it('sends the outcomes of what it has read before a drain ends it', async () => {
    const channelId = await createChannel();
    const instance = await the.start();
    using stream = await open(the.instances.indexOf(instance));
    let drained = Promise.resolve();
    await whileLocked(channelId, async () => {
      stream.send({ channelId, content: '0' });
      await untilLocksAreAwaited(the, 1);
      for (let count = 1; count < 10; count += 1) stream.send({ channelId, content: `${count}` });
      await until(() => areQueued(the.instances.indexOf(instance), IN_FLIGHT - 1), 'items in flight');
      drained = instance.drain();
      await assertDraining(instance.grpcAddress);
      assert.equal(stream.outcomes.length, 0);
    });
    assert.equal(await stream.untilEnded(), 'UNAVAILABLE SERVER_DRAINING');
    assert.deepEqual(stream.outcomes.map(resultOf), Array(IN_FLIGHT).fill('OK'));
    assert.equal(await countPosted(channelId), IN_FLIGHT);
    await drained;
  });

  /** Waits until the instance rejects calls. */
  async function assertDraining(address: string): Promise<void> {
    await until(async () => {
      const headers = { authorization: `Bearer ${await the.tokens.sign(ana)}` };
      using stream = new SendStream(address, headers);
      stream.end();
      return (await stream.untilEnded()).startsWith('UNAVAILABLE');
    }, 'the drain');
  }

  it('ends when its connection reaches its maximum age, with the outcomes of what it has read', async () => {
    const channelId = await createChannel();
    const instance = await the.start({
      GRPC_CONNECTION_AGE_MS: '200',
      GRPC_CONNECTION_AGE_GRACE_MS: '20000',
    });
    using stream = await open(the.instances.indexOf(instance));
    await whileLocked(channelId, async () => {
      stream.send({ channelId, content: 'tin' });
      await untilLocksAreAwaited(the, 1);
      using other = await open(the.instances.indexOf(instance));
      assert.equal(await other.untilEnded(), 'UNAVAILABLE SERVER_DRAINING');
    });
    assert.equal(await stream.untilEnded(), 'UNAVAILABLE SERVER_DRAINING');
    assert.deepEqual(stream.outcomes.map(resultOf), ['OK']);
  });
});
