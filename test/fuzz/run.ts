import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { Child } from '../../scripts/lib/child.ts';
import type { As } from '../kit/app.ts';
import { until } from '../kit/until.ts';
import type { AttackerCommands, AttackerEnv } from './attacker.ts';
import { type Attack, attacker } from './attacks.ts';
import type { QuietCallerData, QuietCallerReport } from './quiet-caller.ts';
import type { Target } from './target.ts';

/** Live memory that an instance may keep after an attack, for caches and compiled code. */
export const MEMORY_GROWTH = 64_000_000;

const QUIET_TENANT = 7_077n;
const QUIET_USERS = 40;
const LARGE_MESSAGES = 100;
const LARGE_MESSAGE_CHARACTERS = 10_000;

const PHASE_MS = 5_000;
const RECOVERY_STEP_MS = 1_000;
// Of the p99 before an attack, below which the caller is not delayed any more.
const RECOVERED = 3;
const WAITING = 'discuss_database_waiting';
const CPU_SECONDS = 'process_cpu_seconds_total';
// Of the p99 before an attack, above which the comparison is repeated, and how often.
const SLOW_COMPARISON = 3;
const MAX_COMPARISONS = 3;
// The caller alone uses less.
const IDLE_CORES = 0.3;
const IDLE_STEP_MS = 500;

/** The well-behaved caller in one phase; `p99` in milliseconds. */
export type Quiet = { readonly p99: number; readonly calls: number; readonly errors: readonly string[] };

/** What an attack did to the instance and to the well-behaved caller; memory in bytes. */
export type AttackReport = {
  readonly name: string;
  readonly heldMemory: number;
  readonly keptMemory: number;
  /** Part of a core that the attacker used. */
  readonly load: number;
  readonly attacked: Quiet;
  /** With a process that uses as much CPU as the attacker, and calls nothing. */
  readonly loaded: Quiet;
  /** Before the attack. */
  readonly idle: Quiet;
  /** Time in milliseconds until the caller's p99 was almost that before the attack. */
  readonly recoveryMs: number;
};

/** Runs an attack once; throws when the instance ends, logs an exception, or does not serve. */
export async function attackOnce(target: Target, { name, run }: Attack): Promise<void> {
  const held = await run(target, 1);
  held[Symbol.dispose]();
  await recover(target, name);
}

/** Starts the process that attacks; `channelId` is that of `createAttackedChannel`. */
export async function startAttacker(target: Target, channelId: bigint): Promise<Child<AttackerCommands>> {
  const env: AttackerEnv = {
    ATTACK_GRPC: target.addresses.grpc,
    ATTACK_WEB: target.addresses.web,
    ATTACK_TOKEN: await target.token(attacker),
    ATTACK_CHANNEL: `${channelId}`,
  };
  return Child.start<AttackerCommands>('test/fuzz/attacker.ts', env);
}

/**
 * Repeats an attack for a few seconds; throws when the instance ends, logs an exception, does not serve, or keeps memory.
 * The attacker shares the cores of this machine with the instance, which real ones do not, so it has the lowest priority,
 * and the comparison is a phase in which its process uses as much CPU.
 */
export async function measureAttack(
  target: Target,
  attacking: Child<AttackerCommands>,
  name: string,
  size: number,
  quiet: QuietCaller,
): Promise<AttackReport> {
  const before = await target.instance.memory();
  const idle = await measure(quiet, () => sleep(PHASE_MS));
  const load = await attacking.call('attack', { name, size, ms: PHASE_MS });
  const attacked = await quiet.nextPhase();
  const during = await target.instance.memory();
  await attacking.call('release');
  await target.memoryReturns(before.live, MEMORY_GROWTH);
  await recover(target, name);
  const after = await target.instance.memory();
  const recoveryMs = await untilFast(quiet, RECOVERED * idle.p99);
  await untilIdle(target);
  const compare = () => measure(quiet, () => attacking.call('useCpu', { part: load, ms: PHASE_MS }));
  let loaded = await compare();
  // A slow comparison would make each attack meet the limit.
  for (let count = 1; count < MAX_COMPARISONS && loaded.p99 > SLOW_COMPARISON * idle.p99; count += 1)
    loaded = fasterOf(loaded, await compare());
  return {
    name,
    heldMemory: during.resident - before.resident,
    keptMemory: after.live - before.live,
    load,
    attacked,
    loaded,
    idle,
    recoveryMs,
  };
}

function fasterOf(a: Quiet, b: Quiet): Quiet {
  return a.p99 < b.p99 ? a : b;
}

async function measure(quiet: QuietCaller, phase: () => Promise<void>): Promise<Quiet> {
  await quiet.nextPhase();
  await phase();
  return quiet.nextPhase();
}

/** Waits until the p99 of the calls of a second is at most `ms`; returns the time in milliseconds. Fails after a minute. */
async function untilFast(quiet: QuietCaller, ms: number): Promise<number> {
  const began = performance.now();
  const isFast = async () => (await measure(quiet, () => sleep(RECOVERY_STEP_MS))).p99 <= ms;
  await until(isFast, `a p99 of ${ms} ms after the attack`, 60_000);
  return performance.now() - began - RECOVERY_STEP_MS;
}

/** Waits for what the attack has left: statements that wait, and requests that the instance still reads. */
async function untilIdle(target: Target): Promise<void> {
  const isIdle = async () => {
    const before = await target.instance.metrics();
    await sleep(IDLE_STEP_MS);
    const after = await target.instance.metrics();
    const seconds = (after.get(CPU_SECONDS) ?? 0) - (before.get(CPU_SECONDS) ?? 0);
    return (after.get(WAITING) ?? 0) === 0 && seconds < (IDLE_CORES * IDLE_STEP_MS) / 1_000;
  };
  await until(isIdle, 'the instance to become idle', 60_000);
}

async function recover(target: Target, name: string): Promise<void> {
  await target.client(ChannelService, { ...attacker, userId: 667n }).listChannels({});
  const problems = await target.problems();
  if (problems.length > 0) throw new Error(`${name}: ${problems.join('; ')}`);
}

/** A channel of the attacker with a page of as many bytes as a response may have. */
export async function createAttackedChannel(target: Target): Promise<bigint> {
  const { channel } = await target.client(ChannelService, attacker).createChannel({ name: 'Tấn công' });
  const channelId = channel?.id ?? 0n;
  const content = 'ế'.repeat(LARGE_MESSAGE_CHARACTERS);
  const client = target.client(MessageService, attacker);
  await Promise.all(Array.from({ length: LARGE_MESSAGES }, () => client.sendMessage({ channelId, content })));
  return channelId;
}

/** Calls both edges at a fixed rate from a worker, as users of another tenant. */
export class QuietCaller implements AsyncDisposable {
  readonly #worker: Worker;

  private constructor(worker: Worker) {
    this.#worker = worker;
  }

  static async start(target: Target): Promise<QuietCaller> {
    const users = Array.from({ length: QUIET_USERS }, (_, index): As => {
      return { userId: BigInt(index + 1), tenantId: QUIET_TENANT };
    });
    const [first, ...others] = users;
    if (first === undefined) throw new RangeError('no user');
    const memberUserIds = others.map(({ userId }) => userId);
    const { channel } = await target
      .client(ChannelService, first)
      .createChannel({ name: 'Yên', memberUserIds });
    const tokens = await Promise.all(users.map((user) => target.token(user)));
    const workerData: QuietCallerData = { ...target.addresses, tokens, channelId: channel?.id ?? 0n };
    return new QuietCaller(new Worker(new URL('./quiet-caller.ts', import.meta.url), { workerData }));
  }

  /** Ends a phase, waits for the calls that began in it, and reports them. */
  async nextPhase(): Promise<Quiet> {
    const message = once(this.#worker, 'message');
    this.#worker.postMessage('next');
    const [report]: QuietCallerReport[] = await message;
    const durations = [...(report?.durations ?? [])].sort((a, b) => a - b);
    const p99 = durations[Math.floor(durations.length * 0.99)] ?? 0;
    return { p99, calls: durations.length, errors: report?.errors ?? [] };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker.terminate();
  }
}
