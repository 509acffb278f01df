import type { Logger } from 'pino';
import type { Caller, Sink } from '../../rpc/call.ts';
import type { Frame } from '../../rpc/frame.ts';
import type { Metrics } from '../../telemetry/metrics.ts';
import { toFrame } from '../log/wire.ts';
import type { Backlog } from './backlog.ts';
import type { ChannelFanout } from './channel-fanout.ts';

export type StreamParts = {
  readonly caller: Caller;
  readonly sink: Sink;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly backlog: Backlog;
  /** Brings a topic up to what is known of it. */
  readonly fill: (topic: ChannelFanout) => Promise<void>;
  readonly bufferBytes: number;
  readonly replayEvents: number;
};

/**
 * One subscriber. Holds no queue: what its connection does not take is not kept for it. When more than
 * `bufferBytes` wait in the connection, the stream falls behind, and reads on from the log once the
 * connection has drained.
 */
export class Stream {
  readonly caller: Caller;
  readonly topics = new Map<bigint, ChannelFanout>();
  /** When the next heartbeat is due, epoch ms; 0 until the stream has started. */
  heartbeatAt = 0;
  heartbeatBefore = 0;
  /** Rejects when the stream cannot go on. */
  readonly failed: Promise<never>;
  #fail: (error: unknown) => void = () => {};
  readonly #parts: StreamParts;
  // Fanouts whose log this stream has yet to read, with the last `seq` it was sent.
  readonly #behind = new Map<ChannelFanout, bigint>();
  #catchingUp = false;
  #draining = false;
  #closed = false;

  constructor(parts: StreamParts) {
    this.caller = parts.caller;
    this.#parts = parts;
    this.failed = new Promise((_, reject) => {
      this.#fail = reject;
    });
    this.failed.catch(() => {});
  }

  get closed(): boolean {
    return this.#closed;
  }

  fail(error: unknown): void {
    this.#fail(error);
  }

  /** Sends something that is not in a log, at once. */
  send(frame: Frame): void {
    if (!this.#closed) this.#parts.sink.write(frame);
  }

  /** Sends something that a reader too slow to take it can do without. */
  offer(frame: Frame): void {
    if (!this.#draining) this.send(frame);
  }

  /** Sends the next event of a topic this stream is live in. */
  deliver(topic: ChannelFanout, frame: Frame): void {
    this.#parts.sink.write(frame);
    if (this.#parts.sink.buffered > this.#parts.bufferBytes) this.#fallBehind(topic, topic.seq);
  }

  /** Starts a topic after `seq`: replays the log up to where the topic is, then goes live. */
  attach(topic: ChannelFanout, seq: bigint): void {
    this.topics.set(topic.channelId, topic);
    topic.behind.add(this);
    this.#behind.set(topic, seq);
    this.#wake();
  }

  /** Stops a topic; nothing of it is sent any more. */
  detach(topic: ChannelFanout): void {
    if (!this.topics.delete(topic.channelId)) return;
    topic.live.delete(this);
    topic.behind.delete(this);
    this.#behind.delete(topic);
  }

  close(): void {
    this.#closed = true;
    for (const topic of [...this.topics.values()]) this.detach(topic);
  }

  /** Whether the stream has been sent all of the topic that this process has. */
  isLive(topic: ChannelFanout): boolean {
    return topic.live.has(this);
  }

  #fallBehind(topic: ChannelFanout, seq: bigint): void {
    topic.live.delete(this);
    topic.behind.add(this);
    this.#behind.set(topic, seq);
    this.#parts.metrics.streamLags.inc();
    this.#waitForDrain();
  }

  #waitForDrain(): void {
    if (this.#draining) return;
    this.#draining = true;
    this.#parts.sink.onDrain(() => {
      this.#draining = false;
      this.#wake();
    });
  }

  #wake(): void {
    if (this.#catchingUp || this.#draining || this.#closed) return;
    this.#catchingUp = true;
    void this.#catchUp().finally(() => {
      this.#catchingUp = false;
      if (this.#behind.size > 0) this.#wakeSoon();
    });
  }

  // After an error of the database; the pause also keeps a stream from spinning.
  #wakeSoon(): void {
    setTimeout(() => this.#wake(), 200).unref();
  }

  async #catchUp(): Promise<void> {
    try {
      for (const topic of this.#behind.keys()) {
        while (this.#behind.has(topic) && !this.#draining && !this.#closed) await this.#step(topic);
        if (this.#draining || this.#closed) return;
      }
    } catch (error) {
      this.#parts.log.warn({ err: error }, 'a stream could not read the log; it tries again');
    }
  }

  async #step(topic: ChannelFanout): Promise<void> {
    const after = this.#behind.get(topic);
    if (after === undefined) return;
    if (after === topic.seq) {
      this.#behind.delete(topic);
      topic.behind.delete(this);
      topic.live.add(this);
    } else if (after > topic.seq) {
      // The log was ahead of what this process has been told.
      if (topic.known < after) topic.known = after;
      await this.#parts.fill(topic);
    } else if (topic.seq - after > BigInt(this.#parts.replayEvents)) {
      this.#reset(topic);
    } else {
      await this.#replay(topic, after);
    }
  }

  async #replay(topic: ChannelFanout, after: bigint): Promise<void> {
    const page = await this.#parts.backlog.read(topic.channelId, after);
    if (this.#behind.get(topic) !== after || this.#closed) return;
    if (page.first !== after + 1n) return this.#reset(topic);
    let seq = after;
    for (const frame of page.frames) {
      this.#parts.sink.write(frame);
      seq += 1n;
      if (this.#parts.sink.buffered > this.#parts.bufferBytes) break;
    }
    this.#behind.set(topic, seq);
    this.#parts.metrics.eventsReplayed.inc(Number(seq - after));
    if (this.#parts.sink.buffered > this.#parts.bufferBytes) this.#waitForDrain();
  }

  #reset(topic: ChannelFanout): void {
    this.#behind.set(topic, topic.seq);
    this.#parts.metrics.streamResets.inc();
    this.#parts.sink.write(
      toFrame({ case: 'reset', value: { channelId: topic.channelId, headSeq: topic.seq } }),
    );
  }
}
