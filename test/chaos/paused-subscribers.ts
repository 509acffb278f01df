// Paused subscribers run in a worker thread, because reading their backlog would delay the other subscribers.
import { once } from 'node:events';
import { parentPort, Worker } from 'node:worker_threads';
import { until } from '../kit/until.ts';
import { PausedSubscriber, type PausedTarget } from './paused-subscriber.ts';

/** Totals of all paused subscribers. */
export type ReaderReport = { readonly gaps: number; readonly behind: number; readonly reconnects: number };

type Command =
  | { readonly kind: 'open'; readonly targets: readonly PausedTarget[] }
  | { readonly kind: 'pause' }
  | { readonly kind: 'resume'; readonly head: bigint };

const RESUME_MS = 60_000;

/** Controls the worker thread. */
export class PausedSubscribers implements AsyncDisposable {
  readonly #worker = new Worker(new URL(import.meta.url));

  async open(targets: readonly PausedTarget[]): Promise<void> {
    await this.#send({ kind: 'open', targets });
  }

  /** Stops reading. */
  async pause(): Promise<void> {
    await this.#send({ kind: 'pause' });
  }

  /** Continues reading; resolves when all subscribers have received the events up to `head`. */
  resume(head: bigint): Promise<ReaderReport> {
    return this.#send({ kind: 'resume', head });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker.terminate();
  }

  async #send(command: Command): Promise<ReaderReport> {
    const response = once(this.#worker, 'message');
    this.#worker.postMessage(command);
    const [report]: ReaderReport[] = await response;
    if (report === undefined) throw new Error('the worker did not respond');
    return report;
  }
}

const readers: PausedSubscriber[] = [];
let head = 0n;

parentPort?.on('message', async (command: Command) => {
  if (command.kind === 'open') {
    // Sequentially, because so many calls at once would be rejected.
    for (const target of command.targets) {
      const reader = new PausedSubscriber(target);
      await reader.open();
      readers.push(reader);
    }
  } else if (command.kind === 'pause') {
    for (const reader of readers) reader.pause();
  } else {
    head = command.head;
    for (const reader of readers) reader.resume();
    await until(() => behind() === 0, 'resuming', RESUME_MS).catch(() => {});
  }
  parentPort?.postMessage({
    gaps: readers.reduce((sum, { gaps }) => sum + gaps, 0),
    behind: behind(),
    reconnects: readers.reduce((sum, { reconnects }) => sum + reconnects, 0),
  } satisfies ReaderReport);
});

function behind(): number {
  return readers.filter(({ seq }) => seq < head).length;
}
