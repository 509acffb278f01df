import { refuse } from '../edge/errors.ts';
import type { Metrics } from '../edge/metrics.ts';
import type { Connections } from './connections.ts';

type Waiter = { readonly start: (lane: Connections) => void; readonly signal: AbortSignal };

/**
 * Single connections, each used by one call at a time. With a pool of its own per connection, queries written
 * in one tick are sure to go down the same connection, in order and without waiting for one another.
 */
export class Lanes {
  readonly #all: readonly Connections[];
  readonly #idle: Connections[];
  readonly #waiting = new Set<Waiter>();
  readonly #maxWaiting: number;
  readonly #metrics: Metrics;

  constructor(lanes: readonly Connections[], maxWaiting: number, metrics: Metrics) {
    this.#all = lanes;
    this.#idle = [...lanes];
    this.#maxWaiting = maxWaiting;
    this.#metrics = metrics;
  }

  /** Runs `work` on a connection of its own; waits for one in turn, and refuses when too many wait already. */
  async use<T>(signal: AbortSignal, work: (lane: Connections) => Promise<T>): Promise<T> {
    const lane = this.#idle.pop() ?? (await this.#wait(signal));
    try {
      return await work(lane);
    } finally {
      this.#release(lane);
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#all.map((lane) => lane.close()));
  }

  #wait(signal: AbortSignal): Promise<Connections> {
    if (this.#waiting.size >= this.#maxWaiting) throw refuse.overloaded('database connections', 1_000);
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        this.#waiting.delete(waiter);
        this.#metrics.databaseWaiting.set(this.#waiting.size);
        reject(signal.reason);
      };
      const start = (lane: Connections) => {
        signal.removeEventListener('abort', onAbort);
        resolve(lane);
      };
      const waiter: Waiter = { start, signal };
      this.#waiting.add(waiter);
      this.#metrics.databaseWaiting.set(this.#waiting.size);
      signal.addEventListener('abort', onAbort, { once: true });
    });
  }

  #release(lane: Connections): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#idle.push(lane);
      return;
    }
    this.#waiting.delete(next);
    this.#metrics.databaseWaiting.set(this.#waiting.size);
    next.start(lane);
  }
}
