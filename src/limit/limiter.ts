import type { Logger } from 'pino';
import type { Config } from '../config.ts';
import type { RedisClient } from '../redis/client.ts';
import { withTimeout } from '../redis/timeout.ts';
import type { Bucket, ConcurrencyLimit, LimitExceeded, Limiter } from '../rpc/interceptors/rate-limit.ts';
import { lruCache } from '../rpc/lru.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { createLimitCache, type LimitCache } from './cache.ts';
import { CallLeases } from './call-leases.ts';
import { LocalLimiter } from './local.ts';

const MAX_KEYS = 100_000;
const RETRY_MS = 1_000;
const RENEWED_AT_ONCE = 200;

/**
 * Limits over all instances, kept in Redis, from where calls are leased while they are frequent. While Redis does not
 * reply in time, each instance applies the limits by itself; a tenant's limits are tried in Redis again after a second.
 */
export class SharedLimiter implements Limiter {
  readonly #config: Config['limits'];
  readonly #redis: RedisClient;
  readonly #cache: LimitCache;
  readonly #metrics: Metrics;
  readonly #log: Logger;
  readonly #leases: CallLeases;
  readonly #local: LocalLimiter;
  // Until when buckets are known to be empty and numbers of streams to be reached, so that calls far above a limit are
  // rejected without asking Redis.
  readonly #exceededUntil = lruCache<string, number>(MAX_KEYS);
  readonly #lastRejection = lruCache<string, number>(MAX_KEYS);
  // By tenant, because in a cluster a single node may be down.
  readonly #fallbackUntil = lruCache<string, number>(MAX_KEYS);
  readonly #renewal: NodeJS.Timeout;

  constructor(parts: {
    config: Config;
    redis: RedisClient;
    metrics: Metrics;
    log: Logger;
    now: () => number;
  }) {
    this.#config = parts.config.limits;
    this.#redis = parts.redis;
    this.#cache = createLimitCache(parts.redis, parts.config.instance, this.#config.streamLeaseMs);
    this.#leases = new CallLeases({
      share: this.#config.leasePercent / 100,
      take: this.#cache.take,
      now: () => performance.now(),
    });
    this.#metrics = parts.metrics;
    this.#log = parts.log.child({ part: 'limits' });
    this.#local = new LocalLimiter(parts.now);
    this.#renewal = setInterval(() => void this.#renewAll(), this.#config.streamLeaseMs / 3).unref();
    // Redis may have lost its data when it comes back.
    this.#redis.on('ready', this.#onReady);
  }

  close(): void {
    clearInterval(this.#renewal);
    this.#redis.off('ready', this.#onReady);
  }

  take(buckets: readonly Bucket[]): LimitExceeded | undefined | Promise<LimitExceeded | undefined> {
    const [first] = buckets;
    if (first === undefined) return undefined;
    const isLocal = this.#isLocal(first.key);
    if (!isLocal && this.#leases.spend(buckets)) {
      for (const bucket of buckets) this.#refill(bucket);
      return undefined;
    }
    const began = performance.now();
    const rejection = this.#rejectKnown(buckets, began);
    if (rejection !== undefined) return rejection;
    return isLocal ? this.#local.take(buckets) : this.#takeShared(buckets, began);
  }

  async acquire(limits: readonly ConcurrencyLimit[]): Promise<LimitExceeded | (() => void)> {
    const began = performance.now();
    const rejection = this.#rejectKnown(limits, began);
    if (rejection !== undefined) return rejection;
    const exceeded = this.#local.tryAcquire(limits) ?? (await this.#acquireShared(limits, began));
    if (exceeded !== undefined) return this.#reject(limits[exceeded.index]?.key ?? '', exceeded);
    return () => {
      for (const { key } of limits) this.#exceededUntil.delete(key);
      this.#release(limits);
    };
  }

  async #acquireShared(
    limits: readonly ConcurrencyLimit[],
    began: number,
  ): Promise<LimitExceeded | undefined> {
    const index = await this.#renew(limits);
    if (index === undefined) return undefined;
    this.#release(limits);
    this.#exceededUntil.set(limits[index]?.key ?? '', began + RETRY_MS);
    return { index, waitMs: RETRY_MS };
  }

  #rejectKnown(limits: readonly { readonly key: string }[], now: number): Promise<LimitExceeded> | undefined {
    for (const [index, { key }] of limits.entries()) {
      const until = this.#exceededUntil.get(key);
      if (until !== undefined && until > now) return this.#reject(key, { index, waitMs: until - now });
    }
    return undefined;
  }

  readonly #onReady = () => {
    this.#leases.clear();
    void this.#renewAll();
  };

  #refill(bucket: Bucket): void {
    if (!this.#leases.isLow(bucket)) return;
    this.#leases.refill(bucket).catch((error) => this.#log.debug({ err: error }, 'a lease was not renewed'));
  }

  async #takeShared(buckets: readonly Bucket[], began: number): Promise<LimitExceeded | undefined> {
    const reply = await this.#inTime(buckets[0]?.key ?? '', this.#leases.take(buckets));
    if (reply === 'late') return this.#local.take(buckets);
    const key = buckets[reply?.index ?? -1]?.key;
    if (reply === undefined || key === undefined) return reply;
    this.#exceededUntil.set(key, began + reply.waitMs);
    return this.#reject(key, reply);
  }

  // A rejection costs CPU time too. A client that ignores the retry delay gets each further rejection late, so its
  // rate is bounded by the number of its concurrent calls. The random part spreads clients that retry together.
  async #reject(key: string, exceeded: LimitExceeded): Promise<LimitExceeded> {
    const delayMs = this.#config.rejectionDelayMs * (0.5 + Math.random());
    const now = performance.now();
    const isFirst = (this.#lastRejection.get(key) ?? Number.NEGATIVE_INFINITY) < now - delayMs;
    this.#lastRejection.set(key, now);
    if (isFirst) return exceeded;
    await new Promise((resolve) => setTimeout(resolve, delayMs));
    return { ...exceeded, waitMs: Math.max(1, exceeded.waitMs - delayMs) };
  }

  #release(limits: readonly ConcurrencyLimit[]): void {
    this.#local.release(limits);
    void this.#renew(limits.map(({ key }) => ({ key, limit: 0 })));
  }

  /** Reports how many streams are open here under the limits; returns the index of a limit that is exceeded. */
  async #renew(
    limits: readonly { readonly key: string; readonly limit: number }[],
  ): Promise<number | undefined> {
    const key = limits[0]?.key ?? '';
    if (this.#isLocal(key)) return undefined;
    const leases = limits.map((limit) => ({ ...limit, count: this.#local.count(limit.key) }));
    const reply = await this.#inTime(key, this.#cache.renew(leases));
    return reply === 'late' ? undefined : reply;
  }

  async #renewAll(): Promise<void> {
    const { keys } = this.#local;
    for (let from = 0; from < keys.length; from += RENEWED_AT_ONCE) {
      const some = keys.slice(from, from + RENEWED_AT_ONCE);
      await Promise.all(some.map((key) => this.#renew([{ key, limit: 0 }])));
    }
  }

  async #inTime<T>(key: string, reply: Promise<T>): Promise<T | 'late'> {
    try {
      return await withTimeout(reply, this.#config.redisTimeoutMs);
    } catch (error) {
      this.#metrics.limitFallbacks.inc();
      this.#fallbackUntil.set(hashTagOf(key), performance.now() + RETRY_MS);
      this.#log.debug({ err: error }, 'limits in Redis failed; applying the limits of this instance');
      return 'late';
    }
  }

  #isLocal(key: string): boolean {
    return (
      this.#redis.status !== 'ready' || (this.#fallbackUntil.get(hashTagOf(key)) ?? 0) > performance.now()
    );
  }
}

function hashTagOf(key: string): string {
  return key.slice(0, key.indexOf('}'));
}
