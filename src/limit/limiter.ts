import { LRUCache } from 'lru-cache';
import type { Logger } from 'pino';
import type { Config } from '../config.ts';
import type { RedisClient } from '../redis/client.ts';
import type { Bucket, ConcurrencyLimit, LimitExceeded, Limiter } from '../rpc/interceptors/rate-limit.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { createLimitCache, type LimitCache } from './cache.ts';
import { LocalLimiter } from './local.ts';

const MAX_EMPTY = 100_000;
const RETRY_MS = 1_000;
const REFRESHED_AT_ONCE = 200;

/**
 * Limits that hold over all instances, in Redis. What it does not answer in time is decided by this instance's own
 * limits, and for a second nothing more of that tenant is asked of it.
 */
export class SharedLimiter implements Limiter {
  readonly #config: Config['limits'];
  readonly #redis: RedisClient;
  readonly #cache: LimitCache;
  readonly #metrics: Metrics;
  readonly #log: Logger;
  readonly #local: LocalLimiter;
  // Until when buckets are known to be empty: who floods is refused here, and costs Redis nothing.
  readonly #empty = new LRUCache<string, number>({ max: MAX_EMPTY });
  // When callers were last refused.
  readonly #refused = new LRUCache<string, number>({ max: MAX_EMPTY });
  // Until when nothing is asked for a tenant: of a cluster, one node may be away.
  readonly #away = new LRUCache<string, number>({ max: MAX_EMPTY });
  readonly #refreshing: NodeJS.Timeout;

  constructor(parts: {
    config: Config;
    redis: RedisClient;
    metrics: Metrics;
    log: Logger;
    now: () => number;
  }) {
    this.#config = parts.config.limits;
    this.#redis = parts.redis;
    this.#cache = createLimitCache(parts.redis, parts.config.instance, this.#config.streamsTtlMs);
    this.#metrics = parts.metrics;
    this.#log = parts.log.child({ part: 'limits' });
    this.#local = new LocalLimiter(parts.now);
    this.#refreshing = setInterval(() => void this.#refresh(), this.#config.streamsTtlMs / 3).unref();
    // Also where Redis has come back and may have forgotten everything.
    this.#redis.on('ready', this.#onReady);
  }

  close(): void {
    clearInterval(this.#refreshing);
    this.#redis.off('ready', this.#onReady);
  }

  take(buckets: readonly Bucket[]): LimitExceeded | undefined | Promise<LimitExceeded | undefined> {
    const began = performance.now();
    for (const [index, { key }] of buckets.entries()) {
      const until = this.#empty.get(key);
      if (until !== undefined && until > began) return this.#refuse(key, { index, waitMs: until - began });
    }
    const [first] = buckets;
    if (first === undefined) return undefined;
    return this.#isAway(first.key) ? this.#local.take(buckets) : this.#takeShared(buckets, began);
  }

  async enter(rooms: readonly ConcurrencyLimit[]): Promise<LimitExceeded | (() => void)> {
    const shortage = this.#local.tryEnter(rooms);
    if (shortage !== undefined) return shortage;
    const index = await this.#say(rooms);
    if (index === undefined) return () => this.#leave(rooms);
    this.#leave(rooms);
    return { index, waitMs: RETRY_MS };
  }

  readonly #onReady = () => void this.#refresh();

  async #takeShared(buckets: readonly Bucket[], began: number): Promise<LimitExceeded | undefined> {
    const answer = await this.#ask(buckets[0]?.key ?? '', this.#cache.take(buckets));
    if (answer === 'none') return this.#local.take(buckets);
    const key = buckets[answer?.index ?? -1]?.key;
    if (answer === undefined || key === undefined) return answer;
    this.#empty.set(key, began + answer.waitMs);
    return this.#refuse(key, answer);
  }

  // Refusing is work, too. Who was refused a moment ago is answered late: a client that does not wait as it was told,
  // with so many calls running at a time, can then not make more of it than that.
  async #refuse(key: string, shortage: LimitExceeded): Promise<LimitExceeded> {
    // Not all at the same time again.
    const ms = this.#config.refusalMs * (0.5 + Math.random());
    const now = performance.now();
    const isFirst = (this.#refused.get(key) ?? Number.NEGATIVE_INFINITY) < now - ms;
    this.#refused.set(key, now);
    if (isFirst) return shortage;
    await new Promise((resolve) => setTimeout(resolve, ms));
    return { ...shortage, waitMs: Math.max(1, shortage.waitMs - ms) };
  }

  #leave(rooms: readonly ConcurrencyLimit[]): void {
    this.#local.leave(rooms);
    void this.#say(rooms.map(({ key }) => ({ key, limit: 0 })));
  }

  /** Tells the others how many are inside here; the place of a room that is too full for that. */
  async #say(
    rooms: readonly { readonly key: string; readonly limit: number }[],
  ): Promise<number | undefined> {
    const key = rooms[0]?.key ?? '';
    if (this.#isAway(key)) return undefined;
    const stays = rooms.map((room) => ({ ...room, count: this.#local.count(room.key) }));
    const answer = await this.#ask(key, this.#cache.stay(stays));
    return answer === 'none' ? undefined : answer;
  }

  async #refresh(): Promise<void> {
    const keys = this.#local.occupied;
    for (let at = 0; at < keys.length; at += REFRESHED_AT_ONCE) {
      const some = keys.slice(at, at + REFRESHED_AT_ONCE);
      await Promise.all(some.map((key) => this.#say([{ key, limit: 0 }])));
    }
  }

  async #ask<T>(key: string, asked: Promise<T>): Promise<T | 'none'> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      // Where it was this process that stood still, the answer is here already, and is read first.
      const giveUp = () => setImmediate(() => reject(new Error('Redis did not answer in time')));
      timer = setTimeout(giveUp, this.#config.redisMs);
    });
    try {
      return await Promise.race([asked, late]);
    } catch (error) {
      this.#metrics.limitFallbacks.inc();
      this.#away.set(tagOf(key), performance.now() + RETRY_MS);
      this.#log.debug({ err: error }, 'limits are those of this instance for a while');
      return 'none';
    } finally {
      clearTimeout(timer);
    }
  }

  #isAway(key: string): boolean {
    return this.#redis.status !== 'ready' || (this.#away.get(tagOf(key)) ?? 0) > performance.now();
  }
}

function tagOf(key: string): string {
  return key.slice(0, key.indexOf('}'));
}
