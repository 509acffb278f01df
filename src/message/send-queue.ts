import type { Logger } from 'pino';
import postgres from 'postgres';
import { signalActivities } from '../activity/view.ts';
import type { Config } from '../config.ts';
import type { Pool } from '../db/database.ts';
import { refuse } from '../edge/errors.ts';
import type { Metrics } from '../edge/metrics.ts';
import type { Relay } from '../event/relay.ts';
import { type SendItem, type SentRow, sendMessages } from './sql.ts';

type Waiting = {
  readonly item: SendItem;
  readonly signal: AbortSignal;
  readonly resolve: (row: SentRow) => void;
  readonly reject: (error: unknown) => void;
};

/**
 * Groups messages that are sent at the same time: while one batch is being committed the next one collects.
 * A lone message goes out at once; under load one commit carries many. Callers and tenants share a batch,
 * which is safe because `send_messages` checks each item by itself.
 */
export class SendQueue {
  readonly #pool: Pool;
  readonly #relay: Relay;
  readonly #config: Config['write'];
  readonly #metrics: Metrics;
  readonly #log: Logger;
  readonly #waiting: Waiting[] = [];
  #inFlight = 0;
  #scheduled = false;

  constructor(parts: { pool: Pool; relay: Relay; config: Config; metrics: Metrics; log: Logger }) {
    this.#pool = parts.pool;
    this.#relay = parts.relay;
    this.#config = parts.config.write;
    this.#metrics = parts.metrics;
    this.#log = parts.log.child({ part: 'send-queue' });
  }

  /** Resolves once the message is committed, or refused by the database function. */
  send(item: SendItem, signal: AbortSignal): Promise<SentRow> {
    if (this.#waiting.length >= this.#config.waiting) throw refuse.overloaded('messages to write', 1_000);
    signal.throwIfAborted();
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, signal, resolve, reject });
      this.#metrics.writesWaiting.set(this.#waiting.length);
      this.#schedule();
    });
  }

  // At the end of the tick, so that what arrived together leaves together.
  #schedule(): void {
    if (this.#scheduled || this.#inFlight >= this.#config.batchConnections) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      void this.#commitNext();
    });
  }

  async #commitNext(): Promise<void> {
    const batch = this.#take();
    if (batch.length === 0) return;
    this.#inFlight += 1;
    this.#metrics.writeBatchSize.observe(batch.length);
    if (this.#waiting.length > 0) this.#schedule();
    try {
      await this.#commit(batch);
    } finally {
      this.#inFlight -= 1;
      if (this.#waiting.length > 0) this.#schedule();
    }
  }

  #take(): Waiting[] {
    const batch: Waiting[] = [];
    for (const waiting of this.#waiting.splice(0, this.#config.batchSize)) {
      if (waiting.signal.aborted) waiting.reject(waiting.signal.reason);
      else batch.push(waiting);
    }
    this.#metrics.writesWaiting.set(this.#waiting.length);
    return batch;
  }

  async #commit(batch: readonly Waiting[]): Promise<void> {
    try {
      const rows = await sendMessages(
        this.#pool,
        batch.map(({ item }) => item),
      );
      this.#relay.publish(
        rows
          .filter((row) => row.refusal === null)
          .map(({ item, seq, payload }) => ({
            channelId: BigInt(batch[item]?.item.channelId ?? 0),
            seq,
            payload,
          })),
      );
      for (const row of rows) batch[row.item]?.resolve(row);
      for (const row of rows) signalActivities(this.#relay, row.activities);
    } catch (error) {
      if (batch.length > 1 && isAboutOneItem(error)) await this.#commitSingly(batch, error);
      else for (const waiting of batch) waiting.reject(error);
    }
  }

  // One item that the checks before it should have caught must not fail the others.
  async #commitSingly(batch: readonly Waiting[], error: unknown): Promise<void> {
    this.#log.warn({ err: error, items: batch.length }, 'a batch failed; its messages are posted one by one');
    for (const waiting of batch) await this.#commit([waiting]);
  }
}

// Data exceptions (22) and integrity violations (23) come from an item, everything else from the database.
function isAboutOneItem(error: unknown): boolean {
  return error instanceof postgres.PostgresError && /^2[23]/.test(error.code);
}
