import type { Bucket, ConcurrencyLimit, LimitExceeded, Limiter } from '../rpc/interceptors/rate-limit.ts';
import { lruCache } from '../rpc/lru.ts';

// An evicted bucket counts as full, which matters only with more active callers than this.
const MAX_BUCKETS = 100_000;
const MINUTE_MS = 60_000;
const RETRY_MS = 1_000;

/**
 * Limits in this process's memory, by GCRA like take-calls.lua: a bucket is the time at which it will be full again,
 * and is empty when that is further ahead than its burst.
 */
export class LocalLimiter implements Limiter {
  readonly #tats = lruCache<string, number>(MAX_BUCKETS);
  readonly #open = new Map<string, number>();
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  take(buckets: readonly Bucket[]): LimitExceeded | undefined {
    const now = this.#now();
    const tats: number[] = [];
    for (const [index, { key, perMinute, burstMs }] of buckets.entries()) {
      const callMs = MINUTE_MS / perMinute;
      const capacityMs = Math.max(burstMs, callMs);
      const tat = Math.min(Math.max(this.#tats.get(key) ?? 0, now), now + capacityMs);
      const next = tat + callMs;
      // The tolerance keeps rounding from costing the last call.
      if (next - now > capacityMs + 1e-3) return { index, waitMs: next - now - capacityMs };
      tats.push(next);
    }
    for (const [index, { key }] of buckets.entries()) this.#tats.set(key, tats[index] ?? now);
    return undefined;
  }

  async acquire(limits: readonly ConcurrencyLimit[]): Promise<LimitExceeded | (() => void)> {
    return this.tryAcquire(limits) ?? (() => this.release(limits));
  }

  /** Counts one more under each limit, or under none when one is reached. */
  tryAcquire(limits: readonly ConcurrencyLimit[]): LimitExceeded | undefined {
    const index = limits.findIndex(({ key, limit }) => this.count(key) >= limit);
    if (index >= 0) return { index, waitMs: RETRY_MS };
    for (const { key } of limits) this.#open.set(key, this.count(key) + 1);
    return undefined;
  }

  release(limits: readonly ConcurrencyLimit[]): void {
    for (const { key } of limits) {
      const left = this.count(key) - 1;
      if (left > 0) this.#open.set(key, left);
      else this.#open.delete(key);
    }
  }

  count(key: string): number {
    return this.#open.get(key) ?? 0;
  }

  /** Keys of the limits under which something is open. */
  get keys(): string[] {
    return [...this.#open.keys()];
  }
}
