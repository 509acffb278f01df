import type { Logger } from 'pino';
import { signalActivities } from '../activity/view.ts';
import type { Config } from '../config.ts';
import { type Database, isAboutOneItem, isLockTimeout } from '../db/database.ts';
import { FairQueue } from '../db/fair-queue.ts';
import type { Relay } from '../event/relay.ts';
import { errors } from '../rpc/errors.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { changeReactions, type ReactedMessage, type ReactionItem, type ReactionRow } from './sql.ts';
import { type Reactions, toReactions } from './view.ts';

/** What became of a reaction, and the message's reactions after its batch. */
export type ReactionOutcome = Pick<ReactionRow, 'errorReason'> & { readonly reactions: Reactions };

type QueuedReaction = {
  readonly message: ReactedMessage;
  readonly item: ReactionItem;
  readonly signal: AbortSignal;
  /** The waiting reactions in the same channel. */
  readonly waiting: Set<QueuedReaction>;
  readonly resolve: (outcome: ReactionOutcome) => void;
  readonly reject: (error: unknown) => void;
};

/**
 * Group commit of concurrent reactions: while a batch of reactions in a channel is being committed, the next one
 * collects. Each would otherwise wait for the channel's row and rewrite all reactions of the message. A batch is for one
 * message; its users share a statement, which is safe because `change_reactions` checks each item separately.
 */
export class ReactionQueue {
  readonly #db: Database;
  readonly #relay: Relay;
  readonly #config: Config;
  readonly #metrics: Metrics;
  readonly #log: Logger;
  /** Waiting reactions by channel, in order. A channel without an entry has no batch. */
  readonly #channels = new Map<string, Set<QueuedReaction>>();
  /** All of them, to bound their number. */
  readonly #all: FairQueue<QueuedReaction>;

  constructor(parts: { db: Database; relay: Relay; config: Config; metrics: Metrics; log: Logger }) {
    this.#db = parts.db;
    this.#relay = parts.relay;
    this.#config = parts.config;
    this.#metrics = parts.metrics;
    this.#log = parts.log.child({ part: 'reaction-queue' });
    this.#all = new FairQueue(parts.config.write.queueSize);
  }

  /** Resolves once the reaction is committed, or rejected by the database function. */
  change(message: ReactedMessage, item: ReactionItem, signal: AbortSignal): Promise<ReactionOutcome> {
    signal.throwIfAborted();
    // With the tenant, because the channel of a request may belong to another one.
    const key = `${message.tenantId} ${message.channelId}`;
    const waiting = this.#channels.get(key) ?? this.#open(key);
    return new Promise((resolve, reject) => {
      const queued = { message, item, signal, waiting, resolve, reject };
      waiting.add(queued);
      const dropped = this.#all.push(message.tenantId, queued);
      dropped?.waiting.delete(dropped);
      dropped?.reject(
        errors.overloaded('too many reactions are queued', this.#config.write.queueSize, 1_000),
      );
      this.#count();
    });
  }

  // At the end of the tick, so that reactions that arrived together form one batch.
  #open(key: string): Set<QueuedReaction> {
    const waiting = new Set<QueuedReaction>();
    this.#channels.set(key, waiting);
    setImmediate(async () => {
      while (waiting.size > 0) await this.#commit(this.#takeNext(waiting));
      this.#channels.delete(key);
    });
    return waiting;
  }

  /** The oldest reaction and others to the same message. */
  #takeNext(waiting: Set<QueuedReaction>): QueuedReaction[] {
    const taken: QueuedReaction[] = [];
    for (const queued of waiting) {
      if (taken.length === this.#config.write.batchSize) break;
      const { tenantId, messageId } = queued.message;
      if (taken[0] !== undefined && taken[0].message.messageId !== messageId) continue;
      waiting.delete(queued);
      this.#all.delete(tenantId, queued);
      taken.push(queued);
    }
    this.#count();
    return taken;
  }

  #count(): void {
    this.#metrics.reactionsWaiting.set(this.#all.size);
  }

  async #commit(taken: readonly QueuedReaction[]): Promise<void> {
    for (const { signal, reject } of taken) if (signal.aborted) reject(signal.reason);
    const batch = taken.filter(({ signal }) => !signal.aborted);
    const [first] = batch;
    if (first === undefined) return;
    const items = batch.map(({ item }) => item);
    try {
      const rows = await this.#db.runForCallers(first.message.tenantId, (sql) =>
        changeReactions(sql, first.message, items, this.#config.message),
      );
      // The batch is committed: nothing after this line may change a response.
      const reactions = toReactions(rows.at(-1)?.reactions ?? '[]');
      for (const { item, errorReason } of rows)
        if (item !== null) batch[item]?.resolve({ errorReason, reactions });
      this.#deliver(first.message, rows);
    } catch (error) {
      if (isLockTimeout(error)) await this.#commit(batch);
      else if (batch.length > 1 && isAboutOneItem(error)) await this.#commitSingly(batch, error);
      else for (const { reject } of batch) reject(error);
    }
  }

  #deliver({ tenantId, channelId }: ReactedMessage, rows: readonly ReactionRow[]): void {
    try {
      this.#relay.publish(
        tenantId,
        rows.flatMap(({ seq, payload }) => (seq === null ? [] : [{ channelId, seq, payload }])),
      );
      signalActivities(this.#relay, rows.at(-1)?.activities);
    } catch (error) {
      this.#log.error(
        { err: error },
        'committed reactions were not delivered; streams read them from the log',
      );
    }
  }

  // An invalid item that earlier checks missed must not fail the others.
  async #commitSingly(batch: readonly QueuedReaction[], error: unknown): Promise<void> {
    this.#log.warn({ err: error, items: batch.length }, 'batch failed; committing its reactions one by one');
    for (const queued of batch) await this.#commit([queued]);
  }
}
