import type { Caller } from './call.ts';
import { errors } from './errors.ts';
import type { Interceptor } from './interceptor.ts';

const RETRY_MS = 1_000;

/**
 * Limits the calls of one user whose requests have not arrived yet, on this instance: each occupies memory, and no other
 * limit counts it before its body is read. Services and operators that act for no user are not limited.
 */
export class UnreadRequests {
  readonly #limit: number;
  readonly #counts = new Map<string, number>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Counts a call until its `requestRead`. To be applied to admission, after authentication. */
  readonly count: Interceptor = (_method, next) => (call) => {
    if (call.caller.userId === 0n || this.#limit === 0) return next(call);
    const key = keyOf(call.caller);
    const count = this.#counts.get(key) ?? 0;
    if (count >= this.#limit)
      throw errors.overloaded('earlier requests are incomplete', this.#limit, RETRY_MS);
    this.#counts.set(key, count + 1);
    let isCounted = true;
    call.requestRead = () => {
      if (!isCounted) return;
      isCounted = false;
      const left = (this.#counts.get(key) ?? 0) - 1;
      if (left > 0) this.#counts.set(key, left);
      else this.#counts.delete(key);
    };
    return next(call);
  };
}

function keyOf({ tenantId, userId }: Caller): string {
  return `${tenantId}:${userId}`;
}
