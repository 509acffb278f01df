import type { LRUCache } from 'lru-cache';
import type { Logger } from 'pino';
import { toTimestamp } from '../../db/time.ts';
import type { Caller, Sink } from '../../rpc/call.ts';
import { errors } from '../../rpc/errors.ts';
import type { Frame } from '../../rpc/frame.ts';
import { lruCache } from '../../rpc/lru.ts';
import type { Metrics } from '../../telemetry/metrics.ts';
import { toFrame } from '../log/wire.ts';
import type { Backlog } from './backlog.ts';
import { StateReads } from './state-reads.ts';
import type { Subscription } from './subscription.ts';

/** How far the fan-out of a channel has delivered. */
export type FanoutProgress = {
  readonly channelId: bigint;
  readonly deliveredSeq: bigint;
  /** When it delivered that event, epoch ms. */
  readonly deliveredAt: number;
};

type Parts = {
  readonly caller: Caller;
  readonly subscription: Subscription;
  readonly sink: Sink;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly backlog: Backlog;
  readonly bufferBytes: number;
  readonly replayEvents: number;
};

// Delay before the log is read again after an error.
const RETRY_MS = 200;
// Heads in one heartbeat: 640 KB as JSON.
const MAX_HEADS = 10_000;
// Of the channels that ended last: an outdated join is reported by the next polls of the log, not later.
const MAX_ENDED = 1_000;

/**
 * One Subscribe call. It is the only owner of its positions: where it is caught up, it is sent the next event of a
 * channel; elsewhere it reads the log from its position. It has no queue. When more than `bufferBytes` wait in its
 * connection, it stops until the connection has drained, and then catches up from the log.
 */
export class SubscriberStream {
  readonly caller: Caller;
  readonly subscription: Subscription;
  readonly stateReads = new StateReads();
  /** Rejects when the stream has to end. */
  readonly failed: Promise<never>;
  #fail: (error: unknown) => void = () => {};
  readonly #parts: Parts;
  readonly #fanouts = new Map<bigint, FanoutProgress>();
  // Last event sent in each channel where that is not the last one delivered, as it is where the stream is caught up.
  readonly #positions = new Map<FanoutProgress, bigint>();
  // The departures that ended channels of this stream, by channel. Few streams have any.
  #ended: LRUCache<bigint, bigint> | undefined;
  #heartbeatAt = 0;
  #lastHeartbeatAt = 0;
  #isCatchingUp = false;
  #isDraining = false;
  #excessBytes = 0;
  #isClosed = false;
  #onDrained: () => void = () => {};

  constructor(parts: Parts) {
    this.caller = parts.caller;
    this.subscription = parts.subscription;
    this.#parts = parts;
    this.failed = new Promise((_, reject) => {
      this.#fail = reject;
    });
    this.failed.catch(() => {});
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Whether it was sent the first `started`. */
  get isStarted(): boolean {
    return this.#heartbeatAt > 0;
  }

  get channelIds(): readonly bigint[] {
    return [...this.#fanouts.keys()];
  }

  has(channelId: bigint): boolean {
    return this.#fanouts.has(channelId);
  }

  fail(error: unknown): void {
    this.#fail(error);
  }

  close(): void {
    this.#isClosed = true;
    this.#fanouts.clear();
    this.#positions.clear();
  }

  /** Sends a message that is in no log, at once. Too many of them end a stream whose connection is full. */
  send(frame: Frame): void {
    if (this.#isClosed) return;
    if (this.#isDraining) this.#excessBytes += frame.binary.length;
    this.#write(frame);
    if (this.#excessBytes > this.#parts.bufferBytes)
      this.#fail(errors.overloaded('the client does not read the stream', this.#parts.bufferBytes, 0));
  }

  /** Sends a message that may be lost: it is dropped while the connection drains. */
  trySend(frame: Frame): void {
    if (!this.#isDraining) this.send(frame);
  }

  /** Begins to send heartbeats. */
  start(heartbeatAt: number): void {
    this.#heartbeatAt = heartbeatAt;
  }

  /** Sends a heartbeat when one is due, with the heads of the channels that changed since the one before. */
  sendHeartbeat(now: number, intervalMs: number): void {
    if (this.#heartbeatAt === 0 || this.#heartbeatAt > now) return;
    this.#heartbeatAt = now + intervalMs;
    if (this.#isDraining) return;
    const heads = [];
    for (const fanout of this.#fanouts.values()) {
      if (fanout.deliveredAt >= this.#lastHeartbeatAt && !this.#positions.has(fanout))
        heads.push({ channelId: fanout.channelId, seq: fanout.deliveredSeq });
    }
    this.#lastHeartbeatAt = now;
    const sendTime = toTimestamp(BigInt(now));
    for (let from = 0; from === 0 || from < heads.length; from += MAX_HEADS) {
      const value = { sendTime, heads: heads.slice(from, from + MAX_HEADS) };
      this.send(toFrame({ case: 'heartbeat', value }));
    }
  }

  /** Resolves when the connection has taken what is too much for its buffer, or when the call ends. */
  drained(signal: AbortSignal): Promise<void> {
    if (!this.#isDraining || signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onDrained = resolve;
      signal.addEventListener('abort', () => resolve(), { once: true });
    });
  }

  /** Starts a channel after `seq`; its fan-out passes every later event to `push`. */
  attach(fanout: FanoutProgress, seq: bigint): void {
    this.#fanouts.set(fanout.channelId, fanout);
    this.#moveTo(fanout, seq);
    this.catchUp();
  }

  /** Ends a channel: nothing of it is sent any more. Returns false when the stream did not have it. */
  detach(fanout: FanoutProgress): boolean {
    this.#positions.delete(fanout);
    return this.#fanouts.delete(fanout.channelId);
  }

  /** Notes the departure or deletion that ended a channel. */
  noteEnd(channelId: bigint, seq: bigint): void {
    this.#ended ??= lruCache(MAX_ENDED);
    this.#ended.set(channelId, seq);
  }

  /** Whether a join opens a channel: an older one than the end of the channel is outdated, its events were sent. */
  canJoin(channelId: bigint, seq: bigint): boolean {
    return !this.#isClosed && !this.has(channelId) && seq > (this.#ended?.get(channelId) ?? 0n);
  }

  /** Takes the event after `previousSeq`. Returns whether it was sent: it is not where the stream is not caught up. */
  push(fanout: FanoutProgress, previousSeq: bigint, frame: Frame): boolean {
    if (this.#positions.size > 0) {
      const seq = this.#positions.get(fanout);
      if (seq !== undefined) {
        // Where the stream started ahead of the fan-out, it is caught up once the fan-out gets there.
        this.#moveTo(fanout, seq);
        return false;
      }
    }
    if (this.#isDraining) {
      this.#positions.set(fanout, previousSeq);
      return false;
    }
    this.#write(frame);
    if (this.#isDraining) this.#parts.metrics.streamLags.inc();
    return true;
  }

  /** Falls behind a fan-out that has skipped the events after `previousSeq`. */
  skip(fanout: FanoutProgress, previousSeq: bigint): void {
    this.#moveTo(fanout, this.#positions.get(fanout) ?? previousSeq);
    this.catchUp();
  }

  /** Reads the log in the channels where the stream is behind, unless this is in progress. */
  catchUp(): void {
    if (this.#isCatchingUp || this.#findBehind() === undefined) return;
    this.#isCatchingUp = true;
    void this.#readPages();
  }

  #write(frame: Frame): void {
    const { sink, bufferBytes } = this.#parts;
    sink.write(frame);
    if (sink.buffered <= bufferBytes || this.#isDraining) return;
    this.#isDraining = true;
    sink.onDrain(() => {
      this.#isDraining = false;
      this.#excessBytes = 0;
      this.#onDrained();
      this.catchUp();
    });
  }

  // Channel by channel: a stream with many channels must not take all database connections.
  async #readPages(): Promise<void> {
    try {
      for (let fanout = this.#findBehind(); fanout !== undefined; fanout = this.#findBehind())
        await this.#readPage(fanout, this.#positions.get(fanout) ?? 0n);
    } catch (error) {
      this.#parts.log.warn({ err: error }, 'a stream could not read the log; retrying');
      setTimeout(() => this.catchUp(), RETRY_MS).unref();
    } finally {
      this.#isCatchingUp = false;
    }
  }

  #findBehind(): FanoutProgress | undefined {
    if (this.#isDraining || this.#isClosed) return undefined;
    for (const [fanout, seq] of this.#positions) if (seq < fanout.deliveredSeq) return fanout;
    return undefined;
  }

  async #readPage(fanout: FanoutProgress, after: bigint): Promise<void> {
    const { backlog, metrics, replayEvents } = this.#parts;
    if (fanout.deliveredSeq - after > BigInt(replayEvents)) return this.#reset(fanout);
    const page = await backlog.read(fanout.channelId, after);
    if (this.#positions.get(fanout) !== after) return;
    if (page.first !== after + 1n) return this.#reset(fanout);
    let seq = after;
    for (const frame of page.frames) {
      // What the fan-out has not delivered yet may come after the end of the caller's membership.
      if (this.#isDraining || seq === fanout.deliveredSeq) break;
      seq += 1n;
      this.#write(frame);
    }
    this.#moveTo(fanout, seq);
    metrics.eventsReplayed.inc(Number(seq - after));
  }

  #reset(fanout: FanoutProgress): void {
    const { channelId, deliveredSeq: headSeq } = fanout;
    this.#moveTo(fanout, headSeq);
    this.#parts.metrics.streamResets.inc();
    this.send(toFrame({ case: 'reset', value: { channelId, headSeq } }));
  }

  #moveTo(fanout: FanoutProgress, seq: bigint): void {
    if (seq === fanout.deliveredSeq) this.#positions.delete(fanout);
    else this.#positions.set(fanout, seq);
  }
}
