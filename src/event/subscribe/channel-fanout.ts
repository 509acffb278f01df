import type { Logger } from 'pino';
import { ChannelClosedReason } from '#gen/serp/discuss/v1/event_service_pb.ts';
import type { Pool } from '../../db/types.ts';
import type { DataKeys } from '../../encryption/data-keys.ts';
import type { Metrics } from '../../telemetry/metrics.ts';
import { isEncrypted, openEvent, openEvents } from '../log/encrypted.ts';
import { listEvents, type PageLimits } from '../log/sql.ts';
import {
  CHANNEL_DELETED,
  changeField,
  MEMBER_LEFT,
  MEMBERS_JOINED,
  REDACTING,
  toEvent,
  toEventFrame,
  toFrame,
} from '../log/wire.ts';
import type { Backlog } from './backlog.ts';
import type { StreamRegistry } from './stream-registry.ts';
import type { FanoutProgress, SubscriberStream } from './subscriber-stream.ts';

const MAX_OUT_OF_ORDER = 1_000;

export type FanoutParts = {
  readonly pool: Pool;
  readonly pageLimits: PageLimits;
  readonly backlog: Backlog;
  readonly keys: DataKeys;
  readonly streams: StreamRegistry;
  readonly metrics: Metrics;
  readonly log: Logger;
  readonly now: () => number;
};

/**
 * Delivers the events of one channel to the streams of this process: each event once and in the order of `seq`,
 * although they arrive in any order, repeatedly or not at all. It reads missing events from the log. A join or a
 * departure takes effect on the streams before any later event is delivered.
 */
export class ChannelFanout implements FanoutProgress {
  readonly channelId: bigint;
  readonly #parts: FanoutParts;
  readonly #streams = new Set<SubscriberStream>();
  #seq: bigint;
  #deliveredAt = 0;
  /** Highest `seq` observed; above `#seq` while events are missing. */
  #headSeq: bigint;
  readonly #outOfOrder = new Map<bigint, Buffer>();
  #pendingChanges = 0;
  #isReading = false;

  /** `seq`: the last event that is not to be delivered. */
  constructor(channelId: bigint, seq: bigint, parts: FanoutParts) {
    this.channelId = channelId;
    this.#seq = seq;
    this.#headSeq = seq;
    this.#parts = parts;
  }

  get deliveredSeq(): bigint {
    return this.#seq;
  }

  get deliveredAt(): number {
    return this.#deliveredAt;
  }

  /**
   * Whether it can be replaced: no stream has the channel, or is about to, and no event is missing. What it has not read yet
   * can contain departures, which would end the channel on streams that its successor opened it on.
   */
  get isUnused(): boolean {
    const isIdle = this.#streams.size === 0 && this.#pendingChanges === 0;
    return isIdle && !this.#isReading && this.#seq >= this.#headSeq;
  }

  get streams(): ReadonlySet<SubscriberStream> {
    return this.#streams;
  }

  /** Takes an event that was committed. */
  deliver(seq: bigint, logged: Buffer): void {
    if (seq <= this.#seq) return;
    const payload = isEncrypted(logged) ? openEvent(this.#parts.keys, logged) : logged;
    if (payload === undefined) {
      // Read from the log, together with the key.
      this.observeHead(seq);
      this.fillGaps();
    } else if (seq === this.#seq + 1n) {
      this.#advance(payload);
      this.#advanceOutOfOrder();
    } else {
      if (this.#outOfOrder.size < MAX_OUT_OF_ORDER) this.#outOfOrder.set(seq, payload);
      this.observeHead(seq);
      this.fillGaps();
    }
  }

  /** Notes how far the channel's log reaches. */
  observeHead(seq: bigint): void {
    if (this.#headSeq < seq) this.#headSeq = seq;
  }

  /** Reads missing events from the log, unless this is in progress. */
  fillGaps(): void {
    if (this.#isReading || this.#seq >= this.#headSeq) return;
    this.#isReading = true;
    void this.#readMissing();
  }

  /** Starts the channel on a stream after `startSeq`, from a state that was read when the log reached `headSeq`. */
  attach(stream: SubscriberStream, startSeq: bigint, headSeq: bigint): void {
    this.observeHead(headSeq);
    let seq = startSeq;
    if (startSeq > this.#headSeq) {
      stream.send(toFrame({ case: 'reset', value: { channelId: this.channelId, headSeq } }));
      seq = headSeq;
    }
    this.#streams.add(stream);
    stream.attach(this, seq);
    this.fillGaps();
  }

  detach(stream: SubscriberStream): boolean {
    this.#streams.delete(stream);
    return stream.detach(this);
  }

  #advance(payload: Buffer): void {
    const previousSeq = this.#seq;
    this.#seq += 1n;
    this.#deliveredAt = this.#parts.now();
    this.observeHead(this.#seq);
    const frame = toEventFrame(payload);
    let sent = 0;
    for (const stream of this.#streams) if (stream.push(this, previousSeq, frame)) sent += 1;
    this.#parts.metrics.eventsDelivered.inc(sent);
    this.#applyChange(this.#seq, payload);
  }

  #advanceOutOfOrder(): void {
    for (let next = this.#seq + 1n; this.#outOfOrder.size > 0; next += 1n) {
      const payload = this.#outOfOrder.get(next);
      if (payload === undefined) break;
      this.#outOfOrder.delete(next);
      this.#advance(payload);
    }
    for (const seq of this.#outOfOrder.keys()) if (seq <= this.#seq) this.#outOfOrder.delete(seq);
  }

  async #readMissing(): Promise<void> {
    try {
      while (this.#seq < this.#headSeq) await this.#readPage();
    } catch (error) {
      this.#parts.log.warn({ err: error }, 'missing events could not be read; retrying with the next poll');
    } finally {
      this.#isReading = false;
    }
  }

  async #readPage(): Promise<void> {
    const { pool, pageLimits, keys } = this.#parts;
    const rows = await openEvents(keys, await listEvents(pool, this.channelId, this.#seq, pageLimits));
    const [first] = rows;
    if (first === undefined) return this.#skipTo(this.#headSeq);
    // The events in between have expired.
    if (first.seq > this.#seq + 1n) return this.#skipTo(first.seq - 1n);
    for (const { seq, payload } of rows) if (seq === this.#seq + 1n) this.#advance(payload);
    this.#advanceOutOfOrder();
  }

  // The streams find the gap when they read the log, and send RESET.
  #skipTo(seq: bigint): void {
    const previousSeq = this.#seq;
    this.#seq = seq;
    this.observeHead(seq);
    for (const stream of this.#streams) stream.skip(this, previousSeq);
  }

  #applyChange(seq: bigint, payload: Buffer): void {
    const field = changeField(payload);
    const { backlog, streams } = this.#parts;
    if (REDACTING.has(field)) backlog.invalidate(this.channelId);
    if (field === CHANNEL_DELETED)
      for (const stream of streams.all()) this.#end(stream, seq, ChannelClosedReason.DELETED);
    if (field !== MEMBERS_JOINED && field !== MEMBER_LEFT) return;
    const { change } = toEvent(payload);
    if (change.case === 'memberLeft')
      for (const stream of streams.ofUser(this.channelId, change.value.userId))
        this.#end(stream, seq, ChannelClosedReason.NOT_MEMBER);
    if (change.case === 'membersJoined')
      void this.#join(
        change.value.members.flatMap(({ userId }) => streams.ofUser(this.channelId, userId)),
        seq,
      );
  }

  // One stream after the other: adding a large group must not take all database connections.
  async #join(streams: readonly SubscriberStream[], seq: bigint): Promise<void> {
    this.#pendingChanges += 1;
    for (const stream of streams) {
      const { stateReads } = stream;
      if (stateReads.isHoldingJoins)
        stateReads.applyJoin(this.#pending(() => void this.#join([stream], seq)));
      else if (stream.canJoin(this.channelId, seq)) await this.#open(stream, seq);
    }
    this.#pendingChanges -= 1;
  }

  async #open(stream: SubscriberStream, seq: bigint): Promise<void> {
    const startSeq = seq - 1n;
    try {
      await stream.stateReads.read(async () => {
        const [state] = await stream.subscription.listStates([this.channelId], 0n, 1);
        if (state === undefined || stream.isClosed) return;
        stream.send(toFrame({ case: 'channelOpened', value: { channel: { ...state, startSeq } } }));
        this.attach(stream, startSeq, state.headSeq);
      });
    } catch (error) {
      this.#parts.log.warn(
        { err: error },
        'a joined channel could not be opened on a stream; the stream ends',
      );
      stream.fail(error);
    }
  }

  #end(stream: SubscriberStream, seq: bigint, reason: ChannelClosedReason): void {
    const end = () => {
      if (!this.detach(stream)) return;
      stream.noteEnd(this.channelId, seq);
      sendClosed(stream, this.channelId, reason);
    };
    end();
    // Once more after a read, which may attach the channel from an older state.
    if (stream.stateReads.isReading) stream.stateReads.applyAfterRead(this.#pending(end));
  }

  /** A change that keeps the fan-out in use until it is applied. */
  #pending(change: () => void): () => void {
    this.#pendingChanges += 1;
    return () => {
      this.#pendingChanges -= 1;
      change();
    };
  }
}

export function sendClosed(stream: SubscriberStream, channelId: bigint, reason: ChannelClosedReason): void {
  stream.send(toFrame({ case: 'channelClosed', value: { channelId, reason } }));
}
