import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import type { As } from '../kit/app.ts';
import { until } from '../kit/until.ts';
import { type Attack, attacker } from './attacks.ts';
import type { QuietCallerData, QuietCallerReport } from './quiet-caller.ts';
import type { Target } from './target.ts';

/** Live memory that an instance may keep after an attack, for caches and compiled code. */
export const MEMORY_GROWTH = 64_000_000;

const QUIET_TENANT = 7_077n;
const QUIET_USERS = 40;
const LARGE_MESSAGES = 50;
const LARGE_MESSAGE_CHARACTERS = 10_000;

/** What an attack did to the instance and to the well-behaved caller; times in milliseconds, memory in bytes. */
export type AttackReport = {
  readonly name: string;
  readonly heldMemory: number;
  readonly quiet: { readonly p99: number; readonly errors: readonly string[] } | undefined;
};

/** Runs an attack; throws when the instance ends, logs an exception, does not serve, or keeps memory. */
export async function attack(
  target: Target,
  { name, run }: Attack,
  size: number,
  quiet?: QuietCaller,
): Promise<AttackReport> {
  const before = await target.instance.memory();
  await quiet?.report();
  const held = await run(target, size);
  const during = await target.instance.memory();
  const report = await quiet?.report();
  held[Symbol.dispose]();
  await target.client(ChannelService, { ...attacker, userId: 667n }).listChannels({});
  await target.memoryReturns(before.live, MEMORY_GROWTH);
  const problems = await target.problems();
  if (problems.length > 0) throw new Error(`${name}: ${problems.join('; ')}`);
  return { name, heldMemory: during.resident - before.resident, quiet: report };
}

/** A channel of the attacker with a page of several hundred kilobytes. */
export async function createAttackedChannel(target: Target): Promise<bigint> {
  const { channel } = await target.client(ChannelService, attacker).createChannel({ name: 'Tấn công' });
  const channelId = channel?.id ?? 0n;
  const content = 'x'.repeat(LARGE_MESSAGE_CHARACTERS);
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

  /** The 99th percentile and the errors since the last report, of at least 200 calls. */
  async report(): Promise<{ p99: number; errors: readonly string[] }> {
    const durations: number[] = [];
    const errors: string[] = [];
    await until(
      async () => {
        this.#worker.postMessage('report');
        const [report]: QuietCallerReport[] = await once(this.#worker, 'message');
        durations.push(...(report?.durations ?? []));
        errors.push(...(report?.errors ?? []));
        return durations.length + errors.length >= 200;
      },
      'calls of the well-behaved caller',
      60_000,
    );
    durations.sort((a, b) => a - b);
    return { p99: durations[Math.floor(durations.length * 0.99)] ?? 0, errors };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker.terminate();
  }
}
