import type { Logger } from 'pino';
import type { ActivityRecorder } from '../activity/recorder.ts';
import { signalActivities } from '../activity/view.ts';
import type { Config } from '../config.ts';
import { type Database, isAboutOneItem, isLockTimeout } from '../db/database.ts';
import { FairQueue } from '../db/fair-queue.ts';
import type { LoggedEvent } from '../event/log/wire.ts';
import type { Relay } from '../event/relay.ts';
import { TenantMix } from '../limit/tenant-mix.ts';
import type { Call } from '../rpc/call.ts';
import { errors } from '../rpc/errors.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { type SpanContext, type Tracer, traced } from '../telemetry/tracing.ts';
import { encryptItems, type SendItem, type SentRow, sendMessages } from './send-sql.ts';

export type SendQueueParts = {
  readonly db: Database;
  readonly relay: Relay;
  readonly activityRecorder: ActivityRecorder;
  readonly config: Config;
  readonly metrics: Metrics;
  readonly tracer?: Tracer | undefined;
  readonly log: Logger;
};

// Part of a batch that one tenant can have while others send messages, whose messages wait for the whole batch.
const TENANT_PART = 8;

// From the queue to the commit.
const SPAN = { name: 'send batch', kind: 'client', attributes: { 'db.system.name': 'postgresql' } } as const;

type QueuedMessage = {
  readonly item: SendItem;
  readonly call: Ending;
  readonly resolve: (row: SentRow) => void;
  readonly reject: (error: unknown) => void;
  readonly span: SpanContext | undefined;
};

type Ending = Pick<Call, 'ended'>;

/** Messages of some of the channels. One batch of a shard is committed at a time. */
type Shard = {
  readonly waiting: FairQueue<QueuedMessage>;
  /** Of the only channel in the shard, which another transaction has locked. */
  readonly lockedChannel: LockedChannel | undefined;
  busy: boolean;
};
type LockedChannel = { readonly tenantId: bigint; readonly key: string };

/**
 * Group commit of concurrent messages: while one batch is being committed, the next one collects. A lone message is
 * committed at once. Callers and tenants share a batch, which is safe because `send_messages` checks each item
 * separately; places in a batch are assigned to tenants in turn, and while several send messages, each has at most a part of
 * a batch. A channel always maps to the same shard: two batches
 * with messages of one channel would wait for each other's lock and commit.
 *
 * A shared batch does not wait for a channel that another transaction has locked, such as that of an edit or of another
 * instance. The messages of such a channel move to a shard of their own until none of them is waiting. It uses a
 * connection of calls, which are assigned to tenants in turn, and gives it back after a lock timeout.
 */
export class SendQueue {
  readonly #db: Database;
  readonly #relay: Relay;
  readonly #activityRecorder: ActivityRecorder;
  readonly #config: Config['write'];
  readonly #metrics: Metrics;
  readonly #tracer: Tracer | undefined;
  readonly #log: Logger;
  readonly #shards: readonly Shard[];
  readonly #lockedShards = new Map<string, Shard>();
  readonly #mix = new TenantMix();

  constructor(parts: SendQueueParts) {
    this.#db = parts.db;
    this.#relay = parts.relay;
    this.#activityRecorder = parts.activityRecorder;
    this.#config = parts.config.write;
    this.#metrics = parts.metrics;
    this.#tracer = parts.tracer;
    this.#log = parts.log.child({ part: 'send-queue' });
    this.#shards = Array.from({ length: this.#config.batchConnections }, () => this.#createShard());
  }

  /** Resolves once the message is committed, or rejected by the database function. */
  async send(item: SendItem, call: Ending): Promise<SentRow> {
    if (call.ended !== undefined) throw call.ended;
    this.#mix.observe(item.tenantId);
    return traced(
      this.#tracer,
      SPAN,
      () =>
        new Promise((resolve, reject) => {
          const span = this.#tracer?.current;
          this.#add(this.#shardOf(item), { item, call, resolve, reject, span });
        }),
    );
  }

  #shardOf(item: SendItem): Shard {
    const locked = this.#lockedShards.size === 0 ? undefined : this.#lockedShards.get(keyOf(item));
    const shard = locked ?? this.#shards[shardOf(item.channelId, this.#shards.length)];
    if (shard === undefined) throw new RangeError('no shard');
    return shard;
  }

  #createShard(lockedChannel?: LockedChannel): Shard {
    const { queueSize, batchConnections } = this.#config;
    const limit = Math.ceil(queueSize / batchConnections);
    return { waiting: new FairQueue(limit), lockedChannel, busy: false };
  }

  #add(shard: Shard, message: QueuedMessage): void {
    const dropped = shard.waiting.push(message.item.tenantId, message);
    dropped?.reject(errors.overloaded('too many messages are queued', this.#config.queueSize, 1_000));
    this.#count();
    if (!shard.busy) this.#start(shard);
  }

  // At the end of the tick, so that messages that arrived together form one batch.
  #start(shard: Shard): void {
    shard.busy = true;
    setImmediate(async () => {
      while (shard.waiting.size > 0) await this.#commitNext(shard);
      shard.busy = false;
      if (shard.lockedChannel !== undefined) this.#lockedShards.delete(shard.lockedChannel.key);
    });
  }

  async #commitNext(shard: Shard): Promise<void> {
    const batch = this.#takeNext(shard.waiting);
    this.#count();
    await this.#commit(shard, batch);
  }

  #takeNext(queue: FairQueue<QueuedMessage>): QueuedMessage[] {
    const { batchSize } = this.#config;
    const tenantLimit = this.#mix.isMixed ? Math.ceil(batchSize / TENANT_PART) : batchSize;
    const counts = new Map<bigint, number>();
    const countOf = (tenantId: bigint) => counts.get(tenantId) ?? 0;
    const taken: QueuedMessage[] = [];
    while (taken.length < batchSize) {
      const next = queue.shift((tenantId) => countOf(tenantId) < tenantLimit);
      if (next === undefined) break;
      counts.set(next.item.tenantId, countOf(next.item.tenantId) + 1);
      taken.push(next);
    }
    return taken;
  }

  #count(): void {
    let waiting = 0;
    for (const shard of this.#shards) waiting += shard.waiting.size;
    for (const shard of this.#lockedShards.values()) waiting += shard.waiting.size;
    this.#metrics.writesWaiting.set(waiting);
  }

  async #commit(shard: Shard, messages: readonly QueuedMessage[]): Promise<void> {
    const batch = messages.filter(({ call }) => call.ended === undefined);
    for (const { call, reject } of messages) if (call.ended !== undefined) reject(call.ended);
    if (batch.length === 0) return;
    this.#metrics.writeBatchSize.observe(batch.length);
    try {
      const rows = await this.#write(shard, batch);
      // The batch is committed: nothing after this line may change a response.
      const busy = rows.filter(({ errorReason }) => errorReason === 'CHANNEL_BUSY');
      this.#move(
        shard,
        busy.flatMap(({ item }) => batch[item] ?? []),
      );
      for (const row of rows) if (row.errorReason !== 'CHANNEL_BUSY') batch[row.item]?.resolve(row);
      this.#deliver(batch, rows);
    } catch (error) {
      // Not back into the queue, where later messages of the channel are waiting.
      if (isLockTimeout(error)) await this.#commit(shard, batch);
      else if (batch.length > 1 && isAboutOneItem(error)) await this.#commitSingly(batch, error);
      else for (const waiting of batch) waiting.reject(error);
    }
  }

  async #write({ lockedChannel }: Shard, batch: readonly QueuedMessage[]): Promise<readonly SentRow[]> {
    const items = await encryptItems(
      this.#db.writes,
      batch.map(({ item }) => item),
    );
    if (lockedChannel === undefined) return sendMessages(this.#db.writes, items, false);
    return this.#db.runForCallers(lockedChannel.tenantId, (sql) => sendMessages(sql, items, true));
  }

  /** Moves messages of locked channels to the shards of these, followed by those of the same channels that wait here. */
  #move(from: Shard, messages: readonly QueuedMessage[]): void {
    for (const [key, moved] of Map.groupBy(messages, ({ item }) => keyOf(item))) {
      const item = moved[0]?.item;
      if (item === undefined) continue;
      const shard = this.#lockedShardOf(item);
      const waiting = from.waiting.removeAll(item.tenantId, (message) => keyOf(message.item) === key);
      for (const message of [...moved, ...waiting]) this.#add(shard, message);
    }
  }

  // A batch has the events of several calls; the trace of the first that is recorded continues.
  #publish(tenantId: bigint, events: readonly LoggedEvent[], batch: readonly QueuedMessage[]): void {
    const publish = () => this.#relay.publish(tenantId, events);
    const first = batch.find(({ item, span }) => item.tenantId === tenantId && span?.isRecorded === true);
    if (this.#tracer === undefined) publish();
    else this.#tracer.continue(first?.span, publish);
  }

  #lockedShardOf(item: SendItem): Shard {
    const key = keyOf(item);
    const known = this.#lockedShards.get(key);
    if (known !== undefined) return known;
    const shard = this.#createShard({ tenantId: item.tenantId, key });
    this.#lockedShards.set(key, shard);
    return shard;
  }

  #deliver(batch: readonly QueuedMessage[], rows: readonly SentRow[]): void {
    const sent = rows
      .filter((row) => row.errorReason === null)
      .map(({ item, seq, payload }) => {
        const { channelId = 0n, tenantId = 0n } = batch[item]?.item ?? {};
        return { tenantId, channelId, seq, payload };
      });
    try {
      for (const [tenantId, events] of Map.groupBy(sent, (event) => event.tenantId))
        this.#publish(tenantId, events, batch);
      for (const row of rows) signalActivities(this.#relay, row.activities);
      if (rows.some(({ hasPending }) => hasPending)) this.#activityRecorder.wake();
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
    for (const waiting of batch) {
      const { tenantId } = waiting.item;
      // Waits for a locked channel, because the next message may be of the same one.
      await this.#commit(this.#createShard({ tenantId, key: keyOf(waiting.item) }), [waiting]);
    }
  }
}

/** The shard of a channel. */
export function shardOf(channelId: bigint, shards: number): number {
  return Number(channelId % BigInt(shards));
}

// With the tenant, because the channel of a request may belong to another one.
function keyOf({ tenantId, channelId }: SendItem): string {
  return `${tenantId} ${channelId}`;
}
