import { errors } from '../rpc/errors.ts';
import { FairQueue } from './fair-queue.ts';
import { type Waiter, wait } from './waiter.ts';

/**
 * Lets calls that need the same lock in PostgreSQL run one after the other. The others wait here and not in
 * PostgreSQL, where each would hold one of the connections that all tenants share.
 */
export class KeyedMutex {
  /** Calls that wait, by lock. A lock without an entry is free. */
  readonly #queues = new Map<string, Set<Waiter<void>>>();
  /** All of them, to bound their number. */
  readonly #waiting: FairQueue<Waiter<void>>;
  readonly #maxWaiting: number;

  constructor(maxWaiting: number) {
    this.#maxWaiting = maxWaiting;
    this.#waiting = new FairQueue(maxWaiting);
  }

  /** Runs `work` when no other work of the tenant with this key is running. */
  async run<T>(tenantId: bigint, key: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const name = `${tenantId} ${key}`;
    const queue = this.#queues.get(name);
    if (queue === undefined) this.#queues.set(name, new Set());
    else await this.#wait(tenantId, queue, signal);
    try {
      return await work();
    } finally {
      this.#pass(tenantId, name);
    }
  }

  #wait(tenantId: bigint, queue: Set<Waiter<void>>, signal: AbortSignal): Promise<void> {
    return wait(
      signal,
      (waiter) => {
        queue.add(waiter);
        this.#waiting
          .push(tenantId, waiter)
          ?.reject(
            errors.overloaded('too many calls are queued for locked channels', this.#maxWaiting, 1_000),
          );
      },
      (waiter) => {
        queue.delete(waiter);
        this.#waiting.delete(tenantId, waiter);
      },
    );
  }

  #pass(tenantId: bigint, name: string): void {
    const queue = this.#queues.get(name);
    for (const next of queue ?? []) {
      queue?.delete(next);
      this.#waiting.delete(tenantId, next);
      next.start();
      return;
    }
    this.#queues.delete(name);
  }
}
