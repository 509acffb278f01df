import { LRUCache } from 'lru-cache';
import type { Bucket, ConcurrencyLimit, LimitExceeded, Limiter } from '../rpc/interceptors/rate-limit.ts';

// Buckets kept at most. One forgotten is a full one, which only matters with more active callers than this.
const MAX_BUCKETS = 100_000;
const MINUTE_MS = 60_000;
const RETRY_MS = 1_000;

/**
 * Limits in this process's memory. A bucket is kept as the time at which it will be full: a call puts that off by
 * what it takes to refill, and there is none left when it is a minute away.
 */
export class LocalLimiter implements Limiter {
  readonly #fullAt = new LRUCache<string, number>({ max: MAX_BUCKETS });
  readonly #inside = new Map<string, number>();
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  take(buckets: readonly Bucket[]): LimitExceeded | undefined {
    const now = this.#now();
    const after: number[] = [];
    for (const [index, { key, perMinute }] of buckets.entries()) {
      const fullAt = Math.min(Math.max(this.#fullAt.get(key) ?? 0, now), now + MINUTE_MS);
      const next = fullAt + MINUTE_MS / perMinute;
      // Rounding must not cost the last call.
      if (next - now > MINUTE_MS + 1e-3) return { index, waitMs: next - now - MINUTE_MS };
      after.push(next);
    }
    for (const [index, { key }] of buckets.entries()) this.#fullAt.set(key, after[index] ?? now);
    return undefined;
  }

  async enter(rooms: readonly ConcurrencyLimit[]): Promise<LimitExceeded | (() => void)> {
    return this.tryEnter(rooms) ?? (() => this.leave(rooms));
  }

  /** Counts one more in each room, or in none. */
  tryEnter(rooms: readonly ConcurrencyLimit[]): LimitExceeded | undefined {
    const index = rooms.findIndex(({ key, limit }) => this.count(key) >= limit);
    if (index >= 0) return { index, waitMs: RETRY_MS };
    for (const { key } of rooms) this.#inside.set(key, this.count(key) + 1);
    return undefined;
  }

  leave(rooms: readonly ConcurrencyLimit[]): void {
    for (const { key } of rooms) {
      const left = this.count(key) - 1;
      if (left > 0) this.#inside.set(key, left);
      else this.#inside.delete(key);
    }
  }

  count(key: string): number {
    return this.#inside.get(key) ?? 0;
  }

  /** Rooms that somebody is in. */
  get occupied(): string[] {
    return [...this.#inside.keys()];
  }
}
