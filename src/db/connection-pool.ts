import { errors } from '../rpc/errors.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { FairQueue } from './fair-queue.ts';
import type { ReconnectingPool } from './reconnecting-pool.ts';

type Waiter = {
  readonly start: (lane: ReconnectingPool) => void;
  readonly refuse: (reason: unknown) => void;
};

/**
 * Single connections, each used by one call at a time. With a pool of its own per connection, queries written
 * in one tick are sure to go down the same connection, in order and without waiting for one another.
 */
export class ConnectionPool {
  readonly #all: readonly ReconnectingPool[];
  readonly #idle: ReconnectingPool[];
  readonly #waiting: FairQueue<Waiter>;
  readonly #metrics: Metrics;

  constructor(lanes: readonly ReconnectingPool[], maxWaiting: number, metrics: Metrics) {
    this.#all = lanes;
    this.#idle = [...lanes];
    this.#waiting = new FairQueue(maxWaiting);
    this.#metrics = metrics;
  }

  /**
   * Runs `work` on a connection of its own; waits for one while there is none. Tenants are served in turn, and where
   * too many calls wait one is refused.
   */
  async use<T>(
    tenantId: bigint,
    signal: AbortSignal,
    work: (lane: ReconnectingPool) => Promise<T>,
  ): Promise<T> {
    const lane = this.#idle.pop() ?? (await this.#wait(tenantId, signal));
    try {
      return await work(lane);
    } finally {
      this.#release(lane);
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#all.map((lane) => lane.close()));
  }

  #wait(tenantId: bigint, signal: AbortSignal): Promise<ReconnectingPool> {
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        this.#waiting.delete(tenantId, waiter);
        this.#count();
        reject(signal.reason);
      };
      const waiter: Waiter = {
        start: (lane) => {
          signal.removeEventListener('abort', onAbort);
          resolve(lane);
        },
        refuse: (reason) => {
          signal.removeEventListener('abort', onAbort);
          reject(reason);
        },
      };
      signal.addEventListener('abort', onAbort, { once: true });
      this.#waiting.push(tenantId, waiter)?.refuse(errors.overloaded('database connections', 1_000));
      this.#count();
    });
  }

  #release(lane: ReconnectingPool): void {
    const next = this.#waiting.shift();
    if (next === undefined) {
      this.#idle.push(lane);
      return;
    }
    this.#count();
    next.start(lane);
  }

  #count(): void {
    this.#metrics.databaseWaiting.set(this.#waiting.size);
  }
}
