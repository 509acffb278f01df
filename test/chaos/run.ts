import { setTimeout as sleep } from 'node:timers/promises';
import { until } from '../kit/until.ts';
import { wrongFiles } from './check-files.ts';
import { wrongSearches } from './check-search.ts';
import { checkAll, checkStreams, type ViolationCounts } from './checks.ts';
import type { Memory } from './instance.ts';
import type { TestCluster } from './test-cluster.ts';

/** A fault that is injected into a running cluster. */
export type Fault = {
  readonly name: string;
  /** Injects the fault and removes it before it resolves. Adds violations that it finds to the ledger. */
  run(cluster: TestCluster): Promise<void>;
  /** Additional measurements. */
  readonly figures?: () => Readonly<Record<string, number>>;
  /** Violations of guarantees that apply to this fault only. */
  readonly check?: (report: Report, cluster: TestCluster) => string[];
};

/** The effects of a fault; one line of the output. */
export type Report = ViolationCounts & {
  readonly fault: string;
  /** Duration of the fault. */
  readonly seconds: number;
  /** From the end of the fault until a message through each instance was delivered to every subscriber. */
  readonly recoverySeconds: number;
  /** From the end of the fault until the first acknowledgement, by instance. */
  readonly postSeconds: readonly number[];
  /** The longest time without an acknowledgement to any sender. */
  readonly pauseSeconds: number;
  /** The longest time from an acknowledgement to the delivery to a subscriber. */
  readonly slowestDeliverySeconds: number;
  /** Streams that broke and were resumed. */
  readonly reconnects: number;
  readonly acknowledged: number;
  /** Errors that clients received, by code. */
  readonly errors: Readonly<Record<string, number>>;
  /** Increases of the instances' counters. */
  readonly metrics: Readonly<Record<string, number>>;
  /** Warnings and errors in the logs of the instances. */
  readonly logs: Readonly<Record<string, number>>;
  readonly figures: Readonly<Record<string, number>>;
  readonly violations: readonly string[];
};

const SETTLE_MS = 700;
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

/** Injects a fault and reports its effects. */
export async function injectFault(cluster: TestCluster, fault: Fault): Promise<Report> {
  await cluster.returnHome();
  await sleep(SETTLE_MS);
  const before = await takeBaseline(cluster);
  const began = performance.now();
  await fault.run(cluster);
  const ended = performance.now();
  const recovery = await recover(cluster, ended);
  const heads = await cluster.untilCaughtUp(RECOVERY_MS);
  const counts = await checkStreams(cluster, heads);
  const report: Report = {
    fault: fault.name,
    ...counts,
    seconds: toSeconds(ended - began),
    ...recovery,
    ...(await compare(cluster, before)),
    figures: fault.figures?.() ?? {},
  };
  return {
    ...report,
    violations: [...report.violations, ...listViolations(counts), ...(fault.check?.(report, cluster) ?? [])],
  };
}

/** Memory of the instances without load. */
export async function measureMemory(cluster: TestCluster): Promise<Memory[]> {
  await cluster.returnHome();
  await cluster.stopSending();
  await sleep(QUIET_MS);
  return Promise.all(cluster.instances.map((instance) => instance.memory()));
}

/** The comparison of stored messages, deliveries, unread counts and memory at the end of a run. */
export type FinalReport = ViolationCounts & {
  readonly fault: 'all';
  readonly acknowledged: number;
  readonly memoryBefore: readonly Memory[];
  readonly memoryAfter: readonly Memory[];
  readonly violations: readonly string[];
};

/** Stops all senders and runs all checks; that of memory only where it was measured before. */
export async function checkFinally(
  cluster: TestCluster,
  memoryBefore: readonly Memory[],
): Promise<FinalReport> {
  cluster.ledger.reset();
  for (const subscriber of cluster.subscribers) subscriber.reset();
  await cluster.returnHome();
  await cluster.stopSending();
  await cluster.untilCaughtUp(RECOVERY_MS);
  const { counts, violations } = await checkAll(cluster);
  violations.push(...(await wrongSearches(cluster)), ...(await wrongFiles(cluster)));
  violations.push(...(cluster.jobs?.violations ?? []));
  const memoryAfter = memoryBefore.length === 0 ? [] : await untilMemoryReturned(cluster, memoryBefore);
  const grown = memoryAfter.filter((after, index) => hasGrown(after, memoryBefore[index]));
  return {
    fault: 'all',
    ...counts,
    acknowledged: cluster.ledger.acknowledged.size,
    memoryBefore,
    memoryAfter,
    violations: [
      ...cluster.ledger.violations,
      ...violations,
      ...listViolations(counts),
      ...grown.map(
        ({ live }) =>
          `an instance has ${live} bytes in use, more than ${MEMORY_GROWTH} times as many as before`,
      ),
    ],
  };
}

// Pages of the log that were read for catching-up subscribers are cached for a minute.
async function untilMemoryReturned(cluster: TestCluster, before: readonly Memory[]): Promise<Memory[]> {
  const end = performance.now() + MEMORY_MS;
  for (;;) {
    const after = await measureMemory(cluster);
    const grown = after.some((memory, index) => hasGrown(memory, before[index]));
    if (!grown || performance.now() > end) return after;
  }
}

function hasGrown(after: Memory, before: Memory | undefined): boolean {
  return before !== undefined && after.live > before.live * MEMORY_GROWTH;
}

type Baseline = { readonly acknowledged: number; readonly metrics: ReadonlyMap<string, number> };

async function takeBaseline(cluster: TestCluster): Promise<Baseline> {
  cluster.ledger.reset();
  for (const subscriber of cluster.subscribers) subscriber.reset();
  for (const instance of cluster.instances) instance.takeLog();
  return { acknowledged: cluster.ledger.acknowledged.size, metrics: await counters(cluster) };
}

async function compare(cluster: TestCluster, before: Baseline) {
  const { ledger, subscribers, instances } = cluster;
  const metrics: Record<string, number> = {};
  for (const [name, value] of await counters(cluster)) {
    // The counters of a restarted instance begin at 0.
    const grown = value - (before.metrics.get(name) ?? 0);
    if (grown !== 0) metrics[name] = grown < 0 ? value : grown;
  }
  const lines = instances.flatMap((instance) => instance.takeLog());
  const severe = lines.filter(({ level }) => level === 'error' || level === 'fatal');
  return {
    pauseSeconds: toSeconds(ledger.longestPauseMs),
    slowestDeliverySeconds: toSeconds(Math.max(...subscribers.map(({ slowestMs }) => slowestMs))),
    reconnects: subscribers.reduce((sum, { reconnects }) => sum + reconnects, 0),
    acknowledged: ledger.acknowledged.size - before.acknowledged,
    errors: Object.fromEntries(ledger.errors),
    metrics,
    logs: countBy(lines.map(({ msg, err }) => [msg, err?.message].filter(Boolean).join(': '))),
    violations: [
      ...ledger.violations,
      ...severe.map(({ msg, err }) => `logged as an error: ${msg}: ${err?.message ?? ''}`),
    ],
  };
}

/** Measures when each instance posts again and when all subscribers have received those messages. */
async function recover(cluster: TestCluster, ended: number) {
  const [channelId] = cluster.channelIds;
  const [sender] = cluster.senders;
  if (channelId === undefined || sender === undefined) throw new RangeError('there is no channel or sender');
  const posts = await Promise.all(
    cluster.instances.map(async (_, instance) => {
      const { messageId } = await sender.post(channelId, `sau bão ${instance}`, instance);
      return { messageId, seconds: toSeconds(performance.now() - ended) };
    }),
  );
  const areDelivered = () =>
    cluster.subscribers.every((subscriber) =>
      posts.every(({ messageId }) => subscriber.has(channelId, messageId)),
    );
  await until(areDelivered, 'recovery', RECOVERY_MS).catch((error: Error) =>
    cluster.ledger.addViolation(error.message),
  );
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

function listViolations({ lost, duplicated, outOfOrder }: ViolationCounts): string[] {
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
