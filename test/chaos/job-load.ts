import { randomBytes, randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { AdminService } from '#gen/serp/discuss/v1/admin_service_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { checkJobs, JOB_TENANT, type JobUsers, type Round } from './check-jobs.ts';
import type { Owner } from './stores.ts';
import type { TestUser } from './test-user.ts';

/** Settings of the instances for the jobs. */
export const JOB_SETTINGS = {
  ENCRYPTION_KEYS: `k1=${randomBytes(32).toString('base64')}`,
  ENCRYPTION_ROTATION_INTERVAL_MS: '300',
  OPERATION_POLL_MS: '300',
  RETENTION_INTERVAL_MS: '0',
};

const OLD_MS = 100n * 86_400_000n;
const LOOK_MS = 500;
// So that the jobs are a part of the load and not most of it.
const PAUSE_MS = 2_000;
const CALL_MS = 3_000;
const ROUND_MS = 60_000;
const SILENT_MS = 5_000;

type Parts = JobUsers & {
  readonly owner: Owner;
  /** A user of the tenant of jobs. */
  readonly createUser: (userId: bigint) => Promise<TestUser>;
};

/**
 * In rounds: retention with an export, a rotation of keys and an erasure at the same time, beside holds. Repeats each call
 * until it succeeds, and checks after each round that each job has ended once with the right counts.
 */
export class JobLoad {
  /** All rounds; those of before are checked again in each. */
  readonly rounds: Round[] = [];
  readonly violations: string[] = [];
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  async run(signal: AbortSignal): Promise<void> {
    const admin = { tenantId: JOB_TENANT, exportDays: 30 };
    await this.#parts.operator.retry(AdminService, (client, options) => client.setRetention(admin, options));
    while (!signal.aborted) {
      await this.#round();
      await sleep(PAUSE_MS, undefined, { signal }).catch(() => {});
    }
  }

  async #round(): Promise<void> {
    const round = await this.#prepare();
    this.rounds.push(round);
    await this.#start(round);
    const end = performance.now() + ROUND_MS;
    for (;;) {
      await sleep(LOOK_MS);
      const problems = await this.#look();
      if (problems?.length === 0) return;
      if (performance.now() > end) {
        this.violations.push(...(problems ?? ['the jobs could not be checked']));
        return;
      }
      await this.#continue();
    }
  }

  /** The problems at this moment; undefined while the database or an instance does not respond. */
  async #look(): Promise<string[] | undefined> {
    return checkJobs(this.#parts, this.rounds).catch(() => undefined);
  }

  /** Retention that was interrupted continues when it is run again; the other jobs by themselves. */
  async #continue(): Promise<void> {
    try {
      await expireLeases(this.#parts.owner);
      await this.#parts.operator.client(AdminService, 0).runRetention({}, { timeoutMs: CALL_MS });
    } catch {
      // The fault lasts.
    }
  }

  async #prepare(): Promise<Round> {
    const { owner } = this.#parts;
    const victim = await this.#parts.createUser(BigInt(1_000 + this.rounds.length));
    const [erased, secret, old, held] = [
      await this.#channel({ memberUserIds: [victim.userId] }),
      await this.#channel({ encrypted: true }),
      await this.#channel({}),
      await this.#channel({}),
    ];
    await this.#send(victim, erased, 10);
    await this.#send(this.#parts.writer, erased, 3, [victim.userId]);
    await this.#send(this.#parts.writer, secret, 10);
    const exported = await this.#send(this.#parts.writer, old, 12);
    const kept = await this.#send(this.#parts.writer, held, 6);
    const deleted = [
      await this.#delete(old, exported.splice(0, 4)),
      await this.#delete(held, kept.slice(0, 2)),
    ];
    const subject = { case: 'channelId', value: held } as const;
    const hold = { tenantId: JOB_TENANT, subject, reason: 'bão' };
    await this.#parts.operator.retry(AdminService, (client, options) => client.placeHold(hold, options));
    // All but the last message of each channel, which stays.
    const past = [...exported.slice(0, -1), ...kept.slice(0, -1)];
    await patiently(
      () => owner`
        update messages
        set created_at = least(created_at, now_ms() - ${OLD_MS}::bigint),
          deleted_at = case when is_deleted then now_ms() - ${OLD_MS}::bigint end
        where id = any(${owner.array([...past, ...deleted.flat()].map(String), 1016)}::bigint[])
      `,
    );
    return { victim: victim.userId, erased, secret, old, held, exported: exported.length - 1 };
  }

  async #start({ victim }: Round): Promise<void> {
    const { operator } = this.#parts;
    const erasure = { tenantId: JOB_TENANT, userId: victim };
    const rotation = { tenantId: JOB_TENANT, replaceDataKeys: true };
    await Promise.all([
      operator.retry(AdminService, (client, options) => client.eraseUser(erasure, options)),
      operator.retry(AdminService, (client, options) => client.startKeyRotation(rotation, options)),
      operator.retry(AdminService, (client, options) => client.runRetention({}, options)),
    ]);
  }

  async #channel(more: object): Promise<bigint> {
    const request = { name: 'Việc', requestId: randomUUID(), ...more };
    const { channel } = await this.#parts.writer.retry(ChannelService, (client, options) =>
      client.createChannel(request, options),
    );
    return channel?.id ?? 0n;
  }

  async #send(
    user: TestUser,
    channelId: bigint,
    count: number,
    mentionUserIds: bigint[] = [],
  ): Promise<bigint[]> {
    const ids: bigint[] = [];
    for (let index = 0; index < count; index += 1) {
      const request = { channelId, content: `việc ${index}`, mentionUserIds, requestId: randomUUID() };
      const { message } = await user.retry(MessageService, (client, options) =>
        client.sendMessage(request, options),
      );
      ids.push(message?.id ?? 0n);
    }
    return ids;
  }

  async #delete(channelId: bigint, ids: bigint[]): Promise<bigint[]> {
    for (const messageId of ids)
      await this.#parts.writer.retry(MessageService, (client, options) =>
        client.deleteMessage({ channelId, messageId }, options),
      );
    return ids;
  }
}

/** As if the time of leases had passed whose instance was killed. */
async function expireLeases(owner: Owner): Promise<void> {
  await owner`
    update operations set due_at = now_ms()
    where finished_at is null and due_at > now_ms() + ${SILENT_MS} and updated_at < now_ms() - ${SILENT_MS}
  `;
  await owner`
    update key_rotations set lease_until = 0
    where finished_at is null and lease_until > 0 and lease_until < now_ms() + 60000 - ${SILENT_MS}
  `;
  await owner`
    update retention_runs set lease_until = 0
    where finished_at is null and lease_until > 0 and lease_until < now_ms() + 600000 - ${SILENT_MS}
  `;
}

async function patiently<T>(work: () => PromiseLike<T>): Promise<T> {
  const end = performance.now() + ROUND_MS;
  for (;;)
    try {
      return await work();
    } catch (error) {
      if (performance.now() > end) throw error;
      await sleep(LOOK_MS);
    }
}
