import type { Logger } from 'pino';
import postgres from 'postgres';
import { signalActivities } from '../activity/view.ts';
import type { Config } from '../config.ts';
import { FairQueue } from '../db/fair-queue.ts';
import type { Pool } from '../db/types.ts';
import type { Relay } from '../event/relay.ts';
import { errors } from '../rpc/errors.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { type SendItem, type SentRow, sendMessages } from './sql.ts';

type QueuedMessage = {
  readonly item: SendItem;
  readonly signal: AbortSignal;
  readonly resolve: (row: SentRow) => void;
  readonly reject: (error: unknown) => void;
};

/** Messages of some of the channels. One batch of a shard is committed at a time. */
type Shard = { readonly waiting: FairQueue<QueuedMessage>; busy: boolean };

/**
 * Group commit of concurrent messages: while one batch is being committed, the next one collects. A lone message is
 * committed at once. Callers and tenants share a batch, which is safe because `send_messages` checks each item
 * separately; places in a batch are assigned to tenants in turn. A channel always maps to the same shard: two batches
 * with messages of one channel would wait for each other's lock and commit.
 */
export class SendQueue {
  readonly #pool: Pool;
  readonly #relay: Relay;
  readonly #config: Config['write'];
  readonly #metrics: Metrics;
  readonly #log: Logger;
  readonly #shards: readonly Shard[];

  constructor(parts: { pool: Pool; relay: Relay; config: Config; metrics: Metrics; log: Logger }) {
    this.#pool = parts.pool;
    this.#relay = parts.relay;
    this.#config = parts.config.write;
    this.#metrics = parts.metrics;
    this.#log = parts.log.child({ part: 'send-queue' });
    const { queueSize, batchConnections } = this.#config;
    this.#shards = Array.from({ length: batchConnections }, () => ({
      waiting: new FairQueue(Math.ceil(queueSize / batchConnections)),
      busy: false,
    }));
  }

  /** Resolves once the message is committed, or rejected by the database function. */
  send(item: SendItem, signal: AbortSignal): Promise<SentRow> {
    signal.throwIfAborted();
    const shard = this.#shards[shardOf(item.channelId, this.#shards.length)];
    if (shard === undefined) throw new RangeError('no shard');
    return new Promise((resolve, reject) => {
      const dropped = shard.waiting.push(BigInt(item.tenantId), { item, signal, resolve, reject });
      dropped?.reject(errors.overloaded('too many messages are queued', this.#config.queueSize, 1_000));
      this.#count();
      if (!shard.busy) this.#start(shard);
    });
  }

  // At the end of the tick, so that messages that arrived together form one batch.
  #start(shard: Shard): void {
    shard.busy = true;
    setImmediate(async () => {
      while (shard.waiting.size > 0) await this.#commitNext(shard);
      shard.busy = false;
    });
  }

  async #commitNext(shard: Shard): Promise<void> {
    const taken = takeNext(shard.waiting, this.#config.batchSize);
    this.#count();
    const batch = taken.filter(({ signal }) => !signal.aborted);
    for (const { signal, reject } of taken) if (signal.aborted) reject(signal.reason);
    if (batch.length === 0) return;
    this.#metrics.writeBatchSize.observe(batch.length);
    await this.#commit(batch);
  }

  #count(): void {
    this.#metrics.writesWaiting.set(this.#shards.reduce((sum, { waiting }) => sum + waiting.size, 0));
  }

  async #commit(batch: readonly QueuedMessage[]): Promise<void> {
    try {
      const rows = await sendMessages(
        this.#pool,
        batch.map(({ item }) => item),
      );
      // The batch is committed: nothing after this line may change a response.
      for (const row of rows) batch[row.item]?.resolve(row);
      this.#deliver(batch, rows);
    } catch (error) {
      if (batch.length > 1 && isAboutOneItem(error)) await this.#commitSingly(batch, error);
      else for (const waiting of batch) waiting.reject(error);
    }
  }

  #deliver(batch: readonly QueuedMessage[], rows: readonly SentRow[]): void {
    const events = rows
      .filter((row) => row.errorReason === null)
      .map(({ item, seq, payload }) => ({
        channelId: BigInt(batch[item]?.item.channelId ?? 0),
        seq,
        payload,
      }));
    try {
      this.#relay.publish(events);
      for (const row of rows) signalActivities(this.#relay, row.activities);
    } catch (error) {
      this.#log.error(
        { err: error },
        'committed messages were not delivered; streams read them from the log',
      );
    }
  }

  // An invalid item that earlier checks missed must not fail the others.
  async #commitSingly(batch: readonly QueuedMessage[], error: unknown): Promise<void> {
    this.#log.warn({ err: error, items: batch.length }, 'batch failed; committing its messages one by one');
    for (const waiting of batch) await this.#commit([waiting]);
  }
}

function takeNext(queue: FairQueue<QueuedMessage>, limit: number): QueuedMessage[] {
  const taken: QueuedMessage[] = [];
  while (taken.length < limit) {
    const next = queue.shift();
    if (next === undefined) break;
    taken.push(next);
  }
  return taken;
}

// Data exceptions (22) and integrity violations (23) are caused by an item, other errors are not.
function isAboutOneItem(error: unknown): boolean {
  return error instanceof postgres.PostgresError && /^2[23]/.test(error.code);
}

/** The shard of a channel. */
export function shardOf(channelId: string, shards: number): number {
  return Number(BigInt(channelId) % BigInt(shards));
}
