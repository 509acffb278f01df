import { setTimeout as sleep } from 'node:timers/promises';
import { until } from '../kit/until.ts';
import { type Damage, lookAtAll, lookAtStreams } from './checks.ts';
import type { Memory } from './instance.ts';
import type { TestCluster } from './world.ts';

/** Something that goes wrong in a running world. */
export type Fault = {
  readonly name: string;
  /** Does the harm, and takes it back: when it resolves, the fault is over. Says what it saw broken meanwhile. */
  run(world: TestCluster): Promise<void>;
  /** What was measured beside. */
  readonly figures?: () => Readonly<Record<string, number>>;
  /** Promises that go beyond those that always hold. */
  readonly promises?: (report: Report, world: TestCluster) => string[];
};

/** What a fault did; one line of the report. Seconds. */
export type Report = Damage & {
  readonly fault: string;
  /** How long it lasted. */
  readonly seconds: number;
  /** From the fault's end until every instance posted and every subscriber had what was posted after it. */
  readonly recoverySeconds: number;
  /** The same until the first post alone, by instance. */
  readonly postSeconds: readonly number[];
  /** The longest time without any message acknowledged, to any of the senders. */
  readonly pauseSeconds: number;
  /** The longest time from an acknowledgement to the message's arrival at a subscriber. */
  readonly slowestDeliverySeconds: number;
  /** Streams that broke and were opened again. */
  readonly reconnects: number;
  readonly acknowledged: number;
  /** Errors that clients were given, by code. */
  readonly errors: Readonly<Record<string, number>>;
  /** Counters of the instances that grew. */
  readonly metrics: Readonly<Record<string, number>>;
  /** Warnings and errors in the logs of the instances. */
  readonly logs: Readonly<Record<string, number>>;
  readonly figures: Readonly<Record<string, number>>;
  readonly broken: readonly string[];
};

const CALM_MS = 700;
const RECOVERY_MS = 20_000;
const QUIET_MS = 3_000;
const MEMORY_MS = 80_000;
const MEMORY_GROWTH = 1.2;
const COUNTERS = [
  'discuss_relay_failures_total',
  'discuss_events_replayed_total',
  'discuss_stream_lags_total',
  'discuss_stream_resets_total',
] as const;

/** Does a fault to the world and says what became of it. */
export async function inflict(world: TestCluster, fault: Fault): Promise<Report> {
  await world.goHome();
  await sleep(CALM_MS);
  const before = await takeStock(world);
  const began = performance.now();
  await fault.run(world);
  const ended = performance.now();
  const recovery = await recover(world, ended);
  const heads = await world.untilCaughtUp(RECOVERY_MS);
  const damage = await lookAtStreams(world, heads);
  const report: Report = {
    fault: fault.name,
    ...damage,
    seconds: toSeconds(ended - began),
    ...recovery,
    ...(await compare(world, before)),
    figures: fault.figures?.() ?? {},
  };
  return {
    ...report,
    broken: [...report.broken, ...listDamage(damage), ...(fault.promises?.(report, world) ?? [])],
  };
}

/** What the instances use while nobody sends, once they have been in use for a while. */
export async function measureMemory(world: TestCluster): Promise<Memory[]> {
  await world.goHome();
  await world.stopSending();
  await sleep(QUIET_MS);
  return Promise.all(world.instances.map((instance) => instance.memory()));
}

/** What everything comes to in the end: everything compared with everything, and memory with what it was before. */
export type Conclusion = Damage & {
  readonly fault: 'all';
  readonly acknowledged: number;
  readonly memoryBefore: readonly Memory[];
  readonly memoryAfter: readonly Memory[];
  readonly broken: readonly string[];
};

/** Stops all senders and looks at everything; at memory where it was measured before. */
export async function conclude(world: TestCluster, memoryBefore: readonly Memory[]): Promise<Conclusion> {
  world.ledger.reset();
  for (const roamer of world.roamers) roamer.reset();
  await world.goHome();
  await world.stopSending();
  await world.untilCaughtUp(RECOVERY_MS);
  const { damage, broken } = await lookAtAll(world);
  const memoryAfter = memoryBefore.length === 0 ? [] : await untilMemoryReturned(world, memoryBefore);
  const grown = memoryAfter.filter((after, index) => hasGrown(after, memoryBefore[index]));
  return {
    fault: 'all',
    ...damage,
    acknowledged: world.ledger.acknowledged.size,
    memoryBefore,
    memoryAfter,
    broken: [
      ...world.ledger.broken,
      ...broken,
      ...listDamage(damage),
      ...grown.map(
        ({ live }) => `an instance has ${live} bytes in use, more than ${MEMORY_GROWTH} times as before`,
      ),
    ],
  };
}

// What was read for subscribers who were behind is kept for a minute.
async function untilMemoryReturned(world: TestCluster, before: readonly Memory[]): Promise<Memory[]> {
  const end = performance.now() + MEMORY_MS;
  for (;;) {
    const after = await measureMemory(world);
    const grown = after.some((memory, index) => hasGrown(memory, before[index]));
    if (!grown || performance.now() > end) return after;
  }
}

function hasGrown(after: Memory, before: Memory | undefined): boolean {
  return before !== undefined && after.live > before.live * MEMORY_GROWTH;
}

type Baseline = { readonly acknowledged: number; readonly metrics: ReadonlyMap<string, number> };

async function takeStock(world: TestCluster): Promise<Baseline> {
  world.ledger.reset();
  for (const roamer of world.roamers) roamer.reset();
  for (const instance of world.instances) instance.takeLog();
  return { acknowledged: world.ledger.acknowledged.size, metrics: await counters(world) };
}

async function compare(world: TestCluster, before: Baseline) {
  const { ledger, roamers, instances } = world;
  const metrics: Record<string, number> = {};
  for (const [name, value] of await counters(world)) {
    // An instance that was started again counts from 0.
    const grown = value - (before.metrics.get(name) ?? 0);
    if (grown !== 0) metrics[name] = grown < 0 ? value : grown;
  }
  const lines = instances.flatMap((instance) => instance.takeLog());
  const severe = lines.filter(({ level }) => level === 'error' || level === 'fatal');
  return {
    pauseSeconds: toSeconds(ledger.longestPauseMs),
    slowestDeliverySeconds: toSeconds(Math.max(...roamers.map(({ slowestMs }) => slowestMs))),
    reconnects: roamers.reduce((sum, { reconnects }) => sum + reconnects, 0),
    acknowledged: ledger.acknowledged.size - before.acknowledged,
    errors: Object.fromEntries(ledger.errors),
    metrics,
    logs: countBy(lines.map(({ msg, err }) => [msg, err?.message].filter(Boolean).join(': '))),
    broken: [
      ...ledger.broken,
      ...severe.map(({ msg, err }) => `logged as an error: ${msg}: ${err?.message ?? ''}`),
    ],
  };
}

/** How long after the fault each instance posts again, and all subscribers hear of it. */
async function recover(world: TestCluster, ended: number) {
  const [channelId] = world.channelIds;
  const [sender] = world.senders;
  if (channelId === undefined || sender === undefined) throw new RangeError('nobody is there to ask');
  const posts = await Promise.all(
    world.instances.map(async (_, instance) => {
      const { messageId } = await sender.post(channelId, `sau bão ${instance}`, instance);
      return { messageId, seconds: toSeconds(performance.now() - ended) };
    }),
  );
  const all = () =>
    world.roamers.every((roamer) => posts.every(({ messageId }) => roamer.has(channelId, messageId)));
  await until(all, 'recovery', RECOVERY_MS).catch((error: Error) => world.ledger.break(error.message));
  return {
    recoverySeconds: toSeconds(performance.now() - ended),
    postSeconds: posts.map(({ seconds }) => seconds),
  };
}

async function counters({ instances }: TestCluster): Promise<Map<string, number>> {
  const sums = new Map<string, number>();
  for (const values of await Promise.all(instances.map((instance) => instance.metrics())))
    for (const name of COUNTERS) sums.set(name, (sums.get(name) ?? 0) + (values.get(name) ?? 0));
  return sums;
}

function listDamage({ lost, duplicated, outOfOrder }: Damage): string[] {
  const found = { lost, duplicated, 'out of order': outOfOrder };
  return Object.entries(found).flatMap(([what, count]) => (count > 0 ? [`${count} ${what}`] : []));
}

function countBy(names: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1;
  return counts;
}

function toSeconds(ms: number): number {
  return Math.round(ms) / 1_000;
}
