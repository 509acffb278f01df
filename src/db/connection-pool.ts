import { errors } from '../rpc/errors.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { FairQueue } from './fair-queue.ts';
import type { ReconnectingPool } from './reconnecting-pool.ts';
import { type Waiter, wait } from './waiter.ts';

/**
 * Connections that are each used by one call at a time. Each is a driver pool of size one, which guarantees that
 * queries made in one tick are sent on the same connection, in order and pipelined.
 */
export class ConnectionPool {
  readonly #all: readonly ReconnectingPool[];
  readonly #idle: ReconnectingPool[];
  readonly #waiting: FairQueue<Waiter<ReconnectingPool>>;
  readonly #maxWaiting: number;
  readonly #metrics: Metrics;
  #counted = 0;

  constructor(connections: readonly ReconnectingPool[], maxWaiting: number, metrics: Metrics) {
    this.#all = connections;
    this.#idle = [...connections];
    this.#maxWaiting = maxWaiting;
    this.#waiting = new FairQueue(maxWaiting);
    this.#metrics = metrics;
  }

  /**
   * Runs `work` on a free connection, or waits for one. Waiting tenants are served in turn; when too many calls wait,
   * one is rejected with OVERLOADED.
   */
  async use<T>(
    tenantId: bigint,
    signal: AbortSignal,
    work: (connection: ReconnectingPool) => Promise<T>,
  ): Promise<T> {
    // The one that is idle longest. The one that was used last costs the same, but then many calls at once use connections that
    // are not open yet, or on which the statements are not prepared: on a new instance they took 0.1 to 0.3 s.
    const connection = this.#idle.shift() ?? (await this.#wait(tenantId, signal));
    try {
      return await work(connection);
    } finally {
      this.#release(connection);
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#all.map((connection) => connection.close()));
  }

  #wait(tenantId: bigint, signal: AbortSignal): Promise<ReconnectingPool> {
    return wait(
      signal,
      (waiter) => {
        this.#waiting
          .push(tenantId, waiter)
          ?.reject(errors.overloaded('too many calls are queued for the database', this.#maxWaiting, 1_000));
        this.#count();
      },
      (waiter) => {
        this.#waiting.delete(tenantId, waiter);
        this.#count();
      },
    );
  }

  #release(connection: ReconnectingPool): void {
    const next = this.#waiting.shift();
    if (next === undefined) {
      this.#idle.push(connection);
      return;
    }
    this.#count();
    next.start(connection);
  }

  // The pools of the primary and of a standby share the gauge.
  #count(): void {
    this.#metrics.databaseWaiting.inc(this.#waiting.size - this.#counted);
    this.#counted = this.#waiting.size;
  }
}
