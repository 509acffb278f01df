// Subscribers that sleep, in a thread of their own: what they have to read when they wake would keep the others waiting.
import { once } from 'node:events';
import { parentPort, Worker } from 'node:worker_threads';
import { until } from '../kit/until.ts';
import { PausedSubscriber, type PausedTarget } from './sleeper.ts';

/** What became of them. */
export type Account = { readonly gaps: number; readonly behind: number; readonly reconnects: number };

type Order =
  | { readonly kind: 'open'; readonly beds: readonly PausedTarget[] }
  | { readonly kind: 'sleep' }
  | { readonly kind: 'wake'; readonly head: bigint };

const WAKING_MS = 60_000;

/** The thread, seen from outside. */
export class PausedSubscribers implements AsyncDisposable {
  readonly #worker = new Worker(new URL(import.meta.url));

  async open(beds: readonly PausedTarget[]): Promise<void> {
    await this.#order({ kind: 'open', beds });
  }

  /** They read nothing from now on. */
  async sleep(): Promise<void> {
    await this.#order({ kind: 'sleep' });
  }

  /** They read on; resolves when they have all there is, up to `head`. */
  wake(head: bigint): Promise<Account> {
    return this.#order({ kind: 'wake', head });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker.terminate();
  }

  async #order(order: Order): Promise<Account> {
    const answer = once(this.#worker, 'message');
    this.#worker.postMessage(order);
    const [account]: Account[] = await answer;
    if (account === undefined) throw new Error('no answer');
    return account;
  }
}

const sleepers: PausedSubscriber[] = [];
let head = 0n;

parentPort?.on('message', async (order: Order) => {
  if (order.kind === 'open') {
    // One after the other: so many at once would be refused as too much work.
    for (const bed of order.beds) {
      const sleeper = new PausedSubscriber(bed);
      await sleeper.open();
      sleepers.push(sleeper);
    }
  } else if (order.kind === 'sleep') {
    for (const sleeper of sleepers) sleeper.sleep();
  } else {
    head = order.head;
    for (const sleeper of sleepers) sleeper.wake();
    await until(() => behind() === 0, 'waking', WAKING_MS).catch(() => {});
  }
  parentPort?.postMessage({
    gaps: sleepers.reduce((sum, { gaps }) => sum + gaps, 0),
    behind: behind(),
    reconnects: sleepers.reduce((sum, { reconnects }) => sum + reconnects, 0),
  } satisfies Account);
});

function behind(): number {
  return sleepers.filter(({ seq }) => seq < head).length;
}
