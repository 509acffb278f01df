import { setTimeout as sleep } from 'node:timers/promises';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import type { Fault } from '../run.ts';
import type { Sender } from '../sender.ts';
import type { PausedTarget } from '../sleeper.ts';
import { type Account, PausedSubscribers } from '../sleepers.ts';
import { STREAM_BUFFER_BYTES, type TestCluster } from '../world.ts';

const STREAMS_PER_USER = 10;
const LOOK_MS = 250;
const TEXT = 'x'.repeat(9_000);
// Beside the buffers of the streams: pages of the log that are read for those who wake, and garbage that has not been
// collected.
const ALLOWANCE_BYTES = 160 * 1024 * 1024;

/** Subscribers of a busy channel read nothing for a while, then everything. */
export function readersAsleep(count: number, ms: number, perSecond: number): Fault {
  const bound = Math.ceil(count / 2) * STREAM_BUFFER_BYTES + ALLOWANCE_BYTES;
  let peakBytes = 0;
  let reconnects = 0;
  return {
    name: count === 1 ? 'reader-asleep' : `${count}-readers-asleep`,
    async run(world) {
      const [sender] = world.senders;
      if (sender === undefined) throw new RangeError('nobody is there to send');
      await using sleepers = new PausedSubscribers();
      const { channelId, beds } = await gather(world, sender, count);
      await sleepers.open(beds);
      const watching = watchMemory(world, await residentBytes(world));
      await sleepers.sleep();
      await sendMany(sender, channelId, ms, perSecond);
      const account = await sleepers.wake((await world.heads()).get(channelId) ?? 0n);
      peakBytes = await watching.stop();
      reconnects = account.reconnects;
      for (const fault of faultsOf(account)) world.ledger.break(fault);
    },
    figures: () => ({
      grownMegabytes: toMegabytes(peakBytes),
      boundMegabytes: toMegabytes(bound),
      sleepersReconnected: reconnects,
    }),
    promises: ({ metrics }) => [
      ...(peakBytes > bound ? [`an instance grew by ${peakBytes} bytes, the bound is ${bound}`] : []),
      ...((metrics['discuss_stream_lags_total'] ?? 0) < count / 2 ? ['hardly anybody fell behind'] : []),
    ],
  };
}

/** A channel with members of its own, so that only those who sleep get what is sent there. */
async function gather(world: TestCluster, sender: Sender, count: number) {
  const people = await Promise.all(
    Array.from({ length: Math.ceil(count / STREAMS_PER_USER) }, () => world.meet('grpc', 0)),
  );
  const { channel } = await sender.person.insist(ChannelService, (client, options) =>
    client.createChannel({ name: 'Ngủ', memberUserIds: people.map(({ userId }) => userId) }, options),
  );
  const channelId = channel?.id ?? 0n;
  const beds = Array.from({ length: count }, (_, index): PausedTarget => {
    const instance = world.instances[index % 2 === 0 ? 0 : 1];
    const edge = index % 4 < 2 ? 'web' : 'grpc';
    const url = edge === 'web' ? instance.webUrl : `http://${instance.grpcAddress}`;
    return { edge, url, token: people[index % people.length]?.token ?? '', channelId };
  });
  return { channelId, beds };
}

async function sendMany(sender: Sender, channelId: bigint, ms: number, perSecond: number): Promise<void> {
  const end = performance.now() + ms;
  const posts: Promise<unknown>[] = [];
  while (performance.now() < end) {
    posts.push(sender.post(channelId, TEXT));
    await sleep(1_000 / perSecond);
  }
  await Promise.all(posts);
}

function faultsOf({ gaps, behind }: Account): string[] {
  return [
    ...(gaps > 0 ? [`${gaps} events did not come in turn to readers that slept`] : []),
    ...(behind > 0 ? [`${behind} readers that slept did not get all there was`] : []),
  ];
}

/** The most that any instance has grown until `stop`. */
function watchMemory(world: TestCluster, before: readonly number[]): { stop(): Promise<number> } {
  let peak = 0;
  const look = async () => {
    const now = await residentBytes(world);
    peak = Math.max(peak, ...now.map((bytes, index) => bytes - (before[index] ?? 0)));
  };
  const timer = setInterval(() => void look().catch(() => {}), LOOK_MS);
  return {
    async stop() {
      clearInterval(timer);
      await look();
      return peak;
    },
  };
}

function residentBytes({ instances }: TestCluster): Promise<number[]> {
  return Promise.all(
    instances.map(async (instance) => (await instance.metrics()).get('process_resident_memory_bytes') ?? 0),
  );
}

function toMegabytes(bytes: number): number {
  return Math.round(bytes / 1024 / 1024);
}
