import type { Logger } from 'pino';
import type { Config } from '../config.ts';
import type { Call } from '../rpc/call.ts';
import { errors, type RpcError } from '../rpc/errors.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { findUsers } from './client.ts';

// Of the concurrent requests, so that the others remain for other tenants while the directory is slow.
const TENANT_SHARE = 4;
// The users of a channel and its creator.
const MAX_IDS = 1_001;

/** What the directory knows of the users that a call names. */
export type Lookup = {
  /** Throws unless all of them are users of the tenant. To be called when the call is about to add them. */
  require(userIds: readonly bigint[]): void;
  /** Those that are users of the tenant. Throws when that is unknown, also for a user that was not looked up. */
  known(userIds: readonly bigint[]): readonly bigint[];
};

type DirectoryParts = {
  readonly config: Config;
  readonly metrics: Metrics;
  readonly log: Logger;
  readonly now: () => number;
};

const everyUser: Lookup = { require() {}, known: (userIds) => userIds };

/**
 * The users of each tenant, in a service behind DIRECTORY_URL. Without that, every user id is accepted.
 *
 * A call looks users up before its transaction, which would otherwise hold a connection and a channel's lock meanwhile.
 * The result counts only for users that the call adds, so that access is checked first, and a repeated call succeeds.
 */
export class Directory {
  readonly #config: Config['directory'];
  readonly #metrics: Metrics;
  readonly #log: Logger;
  readonly #now: () => number;
  /** Known users and the time until which that holds, in the order in which they were looked up. */
  readonly #known = new Map<string, number>();
  /** Running requests by tenant. */
  readonly #running = new Map<bigint, number>();
  #total = 0;
  #isAvailable = true;

  constructor({ config, metrics, log, now }: DirectoryParts) {
    this.#config = config.directory;
    this.#metrics = metrics;
    this.#log = log.child({ part: 'directory' });
    this.#now = now;
  }

  /** Whether users are looked up at all. */
  get isUsed(): boolean {
    return this.#config.url !== undefined;
  }

  async lookUp(call: Call, userIds: readonly bigint[]): Promise<Lookup> {
    const { url } = this.#config;
    if (url === undefined) return everyUser;
    const { tenantId, userId, kind } = call.caller;
    // The token of a user proves that user.
    const known = new Set(kind === 'user' ? [userId] : []);
    const wanted = [...new Set(userIds)].filter((id) => !known.has(id));
    const unknown = wanted.filter((id) => !this.#isCached(tenantId, id));
    for (const id of wanted) known.add(id);
    for (const id of unknown) known.delete(id);
    if (unknown.length === 0) return toLookup(known, wanted, undefined);
    try {
      for (let from = 0; from < unknown.length; from += MAX_IDS)
        for (const id of await this.#request(url, call, unknown.slice(from, from + MAX_IDS))) {
          known.add(id);
          this.#remember(tenantId, id);
        }
      return toLookup(known, wanted, undefined);
    } catch (error) {
      return toLookup(known, wanted, errors.directoryUnavailable(error));
    }
  }

  async #request(url: string, call: Call, userIds: readonly bigint[]): Promise<bigint[]> {
    const { tenantId } = call.caller;
    const running = this.#running.get(tenantId) ?? 0;
    const tenantLimit = Math.ceil(this.#config.requests / TENANT_SHARE);
    if (this.#total >= this.#config.requests || running >= tenantLimit) {
      this.#metrics.directoryRequests.inc({ result: 'rejected' });
      throw new Error('too many concurrent requests to the directory');
    }
    this.#total += 1;
    this.#running.set(tenantId, running + 1);
    const signal = AbortSignal.any([call.signal, AbortSignal.timeout(this.#config.timeoutMs)]);
    try {
      const found = await findUsers(url, this.#config, tenantId, userIds, signal);
      this.#report(undefined);
      return found;
    } catch (error) {
      if (!call.signal.aborted) this.#report(error);
      throw error;
    } finally {
      this.#total -= 1;
      const left = (this.#running.get(tenantId) ?? 1) - 1;
      if (left === 0) this.#running.delete(tenantId);
      else this.#running.set(tenantId, left);
    }
  }

  // Logs changes only: while the directory is unavailable, every call would log a line.
  #report(error: unknown): void {
    const isAvailable = error === undefined;
    this.#metrics.directoryRequests.inc({ result: isAvailable ? 'ok' : 'failed' });
    if (this.#isAvailable === isAvailable) return;
    this.#isAvailable = isAvailable;
    if (isAvailable) this.#log.info('the directory is available again');
    else this.#log.warn({ err: error }, 'the directory is unavailable: no users can be added');
  }

  #isCached(tenantId: bigint, userId: bigint): boolean {
    const until = this.#known.get(keyOf(tenantId, userId));
    return until !== undefined && until > this.#now();
  }

  #remember(tenantId: bigint, userId: bigint): void {
    const { cacheMs, cacheUsers } = this.#config;
    const key = keyOf(tenantId, userId);
    this.#known.delete(key);
    this.#known.set(key, this.#now() + cacheMs);
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= cacheUsers) break;
      this.#known.delete(oldest);
    }
  }
}

function toLookup(
  known: ReadonlySet<bigint>,
  lookedUp: readonly bigint[],
  failure: RpcError | undefined,
): Lookup {
  const isDecided = new Set([...known, ...lookedUp]);
  return {
    known(userIds) {
      const unknown = userIds.filter((id) => !known.has(id));
      if (unknown.length > 0 && failure !== undefined) throw failure;
      if (unknown.some((id) => !isDecided.has(id))) throw errors.conflict();
      return userIds.filter((id) => known.has(id));
    },
    require(userIds) {
      const unknown = userIds.filter((id) => !known.has(id));
      if (unknown.length > 0) throw failure ?? errors.usersNotFound(unknown);
    },
  };
}

function keyOf(tenantId: bigint, userId: bigint): string {
  return `${tenantId}:${userId}`;
}
