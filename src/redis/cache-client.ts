import type { Config } from '../config.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { RedisClient } from './client.ts';

const REST_MS = 1_000;
const MAX_UNSENT = 200;

type Argument = string | number;

/**
 * Runs the scripts of caches. What they hold PostgreSQL knows too, so nobody waits long: an answer that does not
 * come at once is none, and then Redis is left alone for a second.
 */
export class CacheClient {
  readonly #redis: RedisClient;
  readonly #waitMs: number;
  readonly #metrics: Metrics;
  #restUntil = 0;
  #unsent = 0;

  constructor(redis: RedisClient, config: Config['cache'], metrics: Metrics) {
    this.#redis = redis;
    this.#waitMs = config.redisTimeoutMs;
    this.#metrics = metrics;
  }

  /** What a script answers; undefined when Redis is away, slow or says no. All keys must have one hash tag. */
  async ask(script: string, keys: readonly string[], ...values: readonly Argument[]): Promise<unknown> {
    if (performance.now() < this.#restUntil) return undefined;
    const slow = Promise.withResolvers<never>();
    // Where this process was busy itself, the answer may be here: what came is read before the second callback.
    const giveUp = () => slow.reject(new Error('Redis is slow'));
    const timer = setTimeout(() => setImmediate(giveUp), this.#waitMs);
    const asked = this.#redis.eval(script, keys.length, ...keys, ...values);
    try {
      return await Promise.race([asked, slow.promise]);
    } catch {
      this.#fail();
      return undefined;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Runs a script that nobody waits for; not at all while many are on their way. */
  tell(script: string, keys: readonly string[], ...values: readonly Argument[]): void {
    if (this.#unsent >= MAX_UNSENT || performance.now() < this.#restUntil) return;
    this.#unsent += 1;
    this.#redis
      .eval(script, keys.length, ...keys, ...values)
      .catch(() => this.#fail())
      .finally(() => {
        this.#unsent -= 1;
      });
  }

  #fail(): void {
    this.#restUntil = performance.now() + REST_MS;
    this.#metrics.cacheFailures.inc();
  }
}
