import { Code } from '#gen/google/rpc/code_pb.ts';
import type { Caller } from './call.ts';
import { errors, RpcError } from './errors.ts';
import type { Interceptor } from './interceptor.ts';
import { lruCache } from './lru.ts';

const MINUTE_MS = 60_000;
const MAX_USERS = 100_000;

/**
 * Limits the calls that the clients of one user cancel, on this instance. HTTP/2 servers limit the reset streams of a
 * connection, and above the limit end the calls of all users behind it. With a limit per user, the calls of the user
 * that exceeds it are rejected, and the connection stays open.
 */
export class CancelledCalls {
  readonly #perMinute: number;
  readonly #now: () => number;
  // By GCRA, as in take-calls.lua: the time at which a user's bucket will be full again.
  readonly #fullTimes = lruCache<string, number>(MAX_USERS);

  constructor(perMinute: number, now: () => number) {
    this.#perMinute = perMinute;
    this.#now = now;
  }

  /** Counts a cancelled call. Calls of services and operators that act for no user are not limited. */
  count(caller: Caller): void {
    if (caller.userId === 0n || this.#perMinute === 0) return;
    const now = this.#now();
    const fullTime = Math.max(this.#fullTimes.get(keyOf(caller)) ?? 0, now) + MINUTE_MS / this.#perMinute;
    // The upper bound ends the rejections a minute after the last cancelled call at the latest.
    this.#fullTimes.set(keyOf(caller), Math.min(fullTime, now + 2 * MINUTE_MS));
  }

  /** Rejects the calls of users above the limit. To be applied after authentication. */
  readonly reject: Interceptor = (_method, next) => (call) => {
    if (this.#fullTimes.size === 0) return next(call);
    const fullTime = this.#fullTimes.get(keyOf(call.caller)) ?? 0;
    const waitMs = fullTime - this.#now() - MINUTE_MS;
    if (waitMs <= 0) return next(call);
    const limit = this.#perMinute;
    const description = `${limit} cancelled calls per minute and user`;
    throw errors.rateLimited({ subject: `user:${call.caller.userId}`, limit, description }, waitMs);
  };

  /** Counts calls that end because their clients cancel them. To be applied outside of `mapErrors`. */
  readonly observe: Interceptor = (_method, next) => async (call) => {
    try {
      return await next(call);
    } catch (error) {
      if (error instanceof RpcError && error.code === Code.CANCELLED) this.count(call.caller);
      throw error;
    }
  };
}

function keyOf({ tenantId, userId }: Caller): string {
  return `${tenantId}:${userId}`;
}
