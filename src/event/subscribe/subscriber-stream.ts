import type { Logger } from 'pino';
import { toTimestamp } from '../../db/time.ts';
import type { Caller, Sink } from '../../rpc/call.ts';
import type { Frame } from '../../rpc/frame.ts';
import type { Metrics } from '../../telemetry/metrics.ts';
import { toFrame } from '../log/wire.ts';
import type { Backlog } from './backlog.ts';
import type { Subscription } from './subscription.ts';

/** How far the fan-out of a channel has delivered. */
export type FanoutProgress = { readonly channelId: bigint; readonly deliveredSeq: bigint };

/** A stream's position in a channel. Only the stream changes it. */
export type ChannelPosition = {
  readonly stream: SubscriberStream;
  readonly fanout: FanoutProgress;
  /** Last event that was sent to the stream; it is caught up when the fan-out has delivered no later one. */
  seq: bigint;
  /** `seq` in the last heartbeat. */
  reportedSeq: bigint;
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

/**
 * One Subscribe call. It is the only owner of its positions: it is sent the next event of a channel when it is caught
 * up there, and otherwise reads the log from its position. It has no queue. When more than `bufferBytes` wait in its
 * connection, it stops until the connection has drained, and then catches up from the log.
 */
export class SubscriberStream {
  readonly caller: Caller;
  readonly subscription: Subscription;
  /** Rejects when the stream has to end. */
  readonly failed: Promise<never>;
  #fail: (error: unknown) => void = () => {};
  readonly #parts: Parts;
  readonly #positions = new Map<bigint, ChannelPosition>();
  #heartbeatAt = 0;
  #heldChanges: (() => void)[] | undefined;
  #isCatchingUp = false;
  #isDraining = false;
  #isClosed = false;

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

  /** Whether it was sent `started`. */
  get isStarted(): boolean {
    return this.#heartbeatAt > 0;
  }

  /** Whether it reads states of channels. */
  get isReading(): boolean {
    return this.#heldChanges !== undefined;
  }

  get channelIds(): readonly bigint[] {
    return [...this.#positions.keys()];
  }

  has(channelId: bigint): boolean {
    return this.#positions.has(channelId);
  }

  fail(error: unknown): void {
    this.#fail(error);
  }

  close(): void {
    this.#isClosed = true;
    this.#positions.clear();
  }

  /** Sends a message that is in no log, at once. */
  send(frame: Frame): void {
    if (!this.#isClosed) this.#parts.sink.write(frame);
  }

  /** Sends a message that may be lost: it is dropped while the connection drains. */
  trySend(frame: Frame): void {
    if (!this.#isDraining) this.send(frame);
  }

  /** Begins to send heartbeats. */
  start(heartbeatAt: number): void {
    this.#heartbeatAt = heartbeatAt;
  }

  /** Sends a heartbeat when one is due, with the positions that changed since the one before. */
  sendHeartbeat(now: number, intervalMs: number): void {
    if (this.#heartbeatAt === 0 || this.#heartbeatAt > now) return;
    this.#heartbeatAt = now + intervalMs;
    if (this.#isDraining) return;
    const heads = [];
    for (const position of this.#positions.values()) {
      if (isBehind(position) || position.seq === position.reportedSeq) continue;
      position.reportedSeq = position.seq;
      heads.push({ channelId: position.fanout.channelId, seq: position.seq });
    }
    this.send(toFrame({ case: 'heartbeat', value: { sendTime: toTimestamp(BigInt(now)), heads } }));
  }

  /**
   * Runs `read`, which reads states of channels and attaches them. Joins and departures that are delivered meanwhile
   * are applied afterwards, because the states may be older.
   */
  async readStates(read: () => Promise<void>): Promise<void> {
    const changes: (() => void)[] = [];
    this.#heldChanges = changes;
    try {
      await read();
    } finally {
      this.#heldChanges = undefined;
      for (const change of changes) change();
    }
  }

  /** Applies a join or departure, after the states of channels are read if they are being read. */
  applyChange(change: () => void): void {
    if (this.#heldChanges === undefined) change();
    else this.#heldChanges.push(change);
  }

  /** Starts a channel after `seq`; its fan-out passes every later event to `push`. */
  attach(fanout: FanoutProgress, seq: bigint): ChannelPosition {
    const position: ChannelPosition = { stream: this, fanout, seq, reportedSeq: -1n };
    this.#positions.set(fanout.channelId, position);
    if (isBehind(position)) this.catchUp();
    return position;
  }

  /** Ends a channel: nothing of it is sent any more. Returns the position it had. */
  detach(channelId: bigint): ChannelPosition | undefined {
    const position = this.#positions.get(channelId);
    this.#positions.delete(channelId);
    return position;
  }

  /**
   * Takes the event that the fan-out has just delivered, which follows `previousSeq`. Returns whether it was sent; it is
   * not sent while the stream is behind.
   */
  push(position: ChannelPosition, previousSeq: bigint, frame: Frame): boolean {
    if (position.seq !== previousSeq || this.#isDraining) return false;
    position.seq = position.fanout.deliveredSeq;
    this.#write(frame);
    if (this.#isDraining) this.#parts.metrics.streamLags.inc();
    return true;
  }

  /** Reads the log in the channels where the stream is behind, unless this is in progress. */
  catchUp(): void {
    if (this.#isCatchingUp || !this.#canCatchUp) return;
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
      this.catchUp();
    });
  }

  get #canCatchUp(): boolean {
    return !this.#isDraining && !this.#isClosed;
  }

  // Channel by channel: a stream with many channels must not take all database connections.
  async #readPages(): Promise<void> {
    try {
      for (let isBehindAnywhere = true; isBehindAnywhere && this.#canCatchUp; ) {
        isBehindAnywhere = false;
        for (const position of this.#positions.values()) {
          while (this.#canCatchUp && this.#isCurrent(position) && isBehind(position)) {
            isBehindAnywhere = true;
            await this.#readNextPage(position);
          }
        }
      }
    } catch (error) {
      this.#parts.log.warn({ err: error }, 'a stream could not read the log; retrying');
      setTimeout(() => this.catchUp(), RETRY_MS).unref();
    } finally {
      this.#isCatchingUp = false;
    }
  }

  async #readNextPage(position: ChannelPosition): Promise<void> {
    const { backlog, metrics, replayEvents } = this.#parts;
    const { fanout, seq: after } = position;
    if (fanout.deliveredSeq - after > BigInt(replayEvents)) return this.#reset(position);
    const page = await backlog.read(fanout.channelId, after);
    if (!this.#isCurrent(position) || this.#isClosed) return;
    if (page.first !== after + 1n) return this.#reset(position);
    for (const frame of page.frames) {
      // What the fan-out has not delivered yet may come after the end of the caller's membership.
      if (this.#isDraining || !isBehind(position)) break;
      position.seq += 1n;
      this.#write(frame);
    }
    metrics.eventsReplayed.inc(Number(position.seq - after));
  }

  #isCurrent(position: ChannelPosition): boolean {
    return this.#positions.get(position.fanout.channelId) === position;
  }

  #reset(position: ChannelPosition): void {
    const { channelId, deliveredSeq: headSeq } = position.fanout;
    position.seq = headSeq;
    this.#parts.metrics.streamResets.inc();
    this.send(toFrame({ case: 'reset', value: { channelId, headSeq } }));
  }
}

function isBehind({ seq, fanout }: ChannelPosition): boolean {
  return seq < fanout.deliveredSeq;
}
