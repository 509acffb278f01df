import type { Config } from '../config.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { RedisClient } from './client.ts';
import { callScript, type Script, type ScriptReply } from './script.ts';
import { withTimeout } from './timeout.ts';

const PAUSE_MS = 1_000;
const MAX_PENDING_WRITES = 200;

type Argument = string | number;

/**
 * Runs the scripts of caches. PostgreSQL has all that they contain, so a call never waits long: after a failure or a
 * time-out, Redis is not used for a second.
 */
export class CacheClient {
  readonly #redis: RedisClient;
  readonly #timeoutMs: number;
  readonly #metrics: Metrics;
  #pausedUntil = 0;
  #pendingWrites = 0;

  constructor(redis: RedisClient, config: Config['cache'], metrics: Metrics) {
    this.#redis = redis;
    this.#timeoutMs = config.redisTimeoutMs;
    this.#metrics = metrics;
  }

  /** The reply of a script; undefined when Redis fails or is paused. All keys must have one hash tag. */
  async read(
    script: Script,
    keys: readonly string[],
    ...values: readonly Argument[]
  ): Promise<ScriptReply | undefined> {
    if (performance.now() < this.#pausedUntil) return undefined;
    try {
      return await withTimeout(callScript(this.#redis, script, keys, ...values), this.#timeoutMs);
    } catch {
      this.#pause();
      return undefined;
    }
  }

  /** Runs a script in the background; drops it while many are pending. */
  write(script: Script, keys: readonly string[], ...values: readonly Argument[]): void {
    if (this.#pendingWrites >= MAX_PENDING_WRITES || performance.now() < this.#pausedUntil) return;
    this.#pendingWrites += 1;
    callScript(this.#redis, script, keys, ...values)
      .catch(() => this.#pause())
      .finally(() => {
        this.#pendingWrites -= 1;
      });
  }

  #pause(): void {
    this.#pausedUntil = performance.now() + PAUSE_MS;
    this.#metrics.cacheFailures.inc();
  }
}
