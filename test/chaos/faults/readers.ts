import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import type { PausedTarget } from '../paused-subscriber.ts';
import { PausedSubscribers, type ReaderReport } from '../paused-subscribers.ts';
import type { Fault } from '../run.ts';
import type { Sender } from '../sender.ts';
import { STREAM_BUFFER_BYTES, type TestCluster } from '../test-cluster.ts';

const STREAMS_PER_USER = 10;
const MEASURE_MS = 250;
const TEXT = 'x'.repeat(9_000);
// Memory besides the buffers of the streams: pages of the log that are read for resuming subscribers, and garbage.
const ALLOWANCE_BYTES = 160 * 1024 * 1024;

/** Subscribers of a busy channel stop reading for a while, then read everything. */
export function readersPaused(count: number, ms: number, perSecond: number): Fault {
  const bound = Math.ceil(count / 2) * STREAM_BUFFER_BYTES + ALLOWANCE_BYTES;
  let peakBytes = 0;
  let reconnects = 0;
  return {
    name: count === 1 ? 'reader-paused' : `${count}-readers-paused`,
    async run(cluster) {
      const [sender] = cluster.senders;
      if (sender === undefined) throw new RangeError('there is no sender');
      await using readers = new PausedSubscribers();
      const { channelId, targets } = await createTargets(cluster, sender, count);
      await readers.open(targets);
      const watching = watchMemory(cluster, await residentBytes(cluster));
      await readers.pause();
      await sendMany(sender, channelId, ms, perSecond);
      const report = await readers.resume((await cluster.heads()).get(channelId) ?? 0n);
      peakBytes = await watching.stop();
      reconnects = report.reconnects;
      for (const fault of violationsOf(report)) cluster.ledger.addViolation(fault);
    },
    figures: () => ({
      grownMegabytes: toMegabytes(peakBytes),
      boundMegabytes: toMegabytes(bound),
      reconnects: reconnects,
    }),
    check: ({ metrics }) => [
      ...(peakBytes > bound ? [`an instance grew by ${peakBytes} bytes, the bound is ${bound}`] : []),
      ...((metrics['discuss_stream_lags_total'] ?? 0) < count / 2 ? ['too few subscribers fell behind'] : []),
    ],
  };
}

/** Creates a channel whose members are only the paused subscribers. */
async function createTargets(cluster: TestCluster, sender: Sender, count: number) {
  const users = await Promise.all(
    Array.from({ length: Math.ceil(count / STREAMS_PER_USER) }, () => cluster.createUser('grpc', 0)),
  );
  const memberUserIds = users.map(({ userId }) => userId);
  const group = { name: 'Ngủ', memberUserIds, requestId: randomUUID() };
  const { channel } = await sender.user.retry(ChannelService, (client, options) =>
    client.createChannel(group, options),
  );
  const channelId = channel?.id ?? 0n;
  const targets = Array.from({ length: count }, (_, index): PausedTarget => {
    const instance = cluster.instances[index % 2 === 0 ? 0 : 1];
    const edge = index % 4 < 2 ? 'web' : 'grpc';
    const url = edge === 'web' ? instance.webUrl : `http://${instance.grpcAddress}`;
    return { edge, url, token: users[index % users.length]?.token ?? '', channelId };
  });
  return { channelId, targets };
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

function violationsOf({ gaps, behind }: ReaderReport): string[] {
  return [
    ...(gaps > 0 ? [`paused subscribers received ${gaps} events out of order`] : []),
    ...(behind > 0 ? [`${behind} paused subscribers did not receive all events`] : []),
  ];
}

/** Measures the largest growth of any instance until `stop`. */
function watchMemory(cluster: TestCluster, before: readonly number[]): { stop(): Promise<number> } {
  let peak = 0;
  const measure = async () => {
    const now = await residentBytes(cluster);
    peak = Math.max(peak, ...now.map((bytes, index) => bytes - (before[index] ?? 0)));
  };
  const timer = setInterval(() => void measure().catch(() => {}), MEASURE_MS);
  return {
    async stop() {
      clearInterval(timer);
      await measure();
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
