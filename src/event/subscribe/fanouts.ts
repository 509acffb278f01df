import type { Logger } from 'pino';
import type { Config } from '../../config.ts';
import type { Pool } from '../../db/types.ts';
import type { Metrics } from '../../telemetry/metrics.ts';
import { type LoggedEvent, listEvents } from '../log/sql.ts';
import { changeField, MESSAGE_DELETED, toEventFrame, toFrame } from '../log/wire.ts';
import { Backlog } from './backlog.ts';
import { ChannelFanout } from './channel-fanout.ts';
import type { Stream } from './stream.ts';

const MAX_EARLY = 1_000;

export type FanoutParts = {
  readonly config: Config['event'];
  readonly pool: Pool;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly now: () => number;
};

/**
 * The channels that streams of this process listen to. Gives each event to the live streams once and in order of its
 * `seq`, whatever comes in which order, and reads from the log what does not come.
 */
export class Fanouts {
  readonly backlog: Backlog;
  readonly #config: Config['event'];
  readonly #pool: Pool;
  readonly #log: Logger;
  readonly #metrics: Metrics;
  readonly #now: () => number;
  readonly #delivered: (topic: ChannelFanout, event: LoggedEvent) => void;
  readonly #all = new Map<bigint, ChannelFanout>();

  /** `delivered` is called for each event, next in its channel, after the live streams got it. */
  constructor(parts: FanoutParts, delivered: (topic: ChannelFanout, event: LoggedEvent) => void) {
    this.#config = parts.config;
    this.#pool = parts.pool;
    this.#log = parts.log;
    this.#metrics = parts.metrics;
    this.#now = parts.now;
    this.#delivered = delivered;
    this.backlog = new Backlog(parts.pool, parts.config.replayPage);
  }

  get(channelId: bigint): ChannelFanout | undefined {
    return this.#all.get(channelId);
  }

  /** Takes an event; false when nobody here listens to its channel. */
  deliver(event: LoggedEvent): boolean {
    if (changeField(event.payload) === MESSAGE_DELETED) this.backlog.forget(event.channelId);
    const topic = this.#all.get(event.channelId);
    if (topic === undefined) return false;
    if (event.seq === topic.seq + 1n) {
      this.#advance(topic, event);
      this.#advanceEarly(topic);
    } else if (event.seq > topic.seq) {
      if (topic.early.size < MAX_EARLY) topic.early.set(event.seq, event.payload);
      if (topic.known < event.seq) topic.known = event.seq;
      this.#fillSoon(topic);
    }
    return true;
  }

  /** Learns from the log how far a channel is. */
  learn(channelId: bigint, head: bigint): void {
    // There may be a deletion among the changes, and a topic that is up to date may owe that to the database.
    this.backlog.forget(channelId);
    const topic = this.#all.get(channelId);
    if (topic === undefined || head <= topic.seq) return;
    if (topic.known < head) topic.known = head;
  }

  /** Reads from the log what is known to be missing. */
  mend(): void {
    for (const topic of this.#all.values()) if (topic.known > topic.seq) this.#fillSoon(topic);
  }

  /** Has a stream listen to a channel from after `startSeq`; `headSeq` is how far its log is at least. */
  attach(stream: Stream, channelId: bigint, startSeq: bigint, headSeq: bigint): void {
    let topic = this.#all.get(channelId);
    if (topic === undefined) {
      topic = new ChannelFanout(channelId, headSeq);
      this.#all.set(channelId, topic);
    }
    if (topic.known < headSeq) topic.known = headSeq;
    if (startSeq > topic.known) {
      stream.send(toFrame({ case: 'reset', value: { channelId, headSeq } }));
      stream.attach(topic, headSeq);
    } else {
      stream.attach(topic, startSeq);
    }
  }

  /** Has a stream listen no longer. */
  detach(stream: Stream, topic: ChannelFanout): void {
    stream.detach(topic);
    if (topic.attached === 0) this.#all.delete(topic.channelId);
  }

  /** Brings a topic up to what is known of it. */
  fill(topic: ChannelFanout): Promise<void> {
    topic.filling ??= this.#readOn(topic).finally(() => {
      topic.filling = undefined;
    });
    return topic.filling;
  }

  #advance(topic: ChannelFanout, event: LoggedEvent): void {
    this.#metrics.eventsDelivered.inc(topic.live.size);
    topic.advance(toEventFrame(event.payload), this.#now());
    if (changeField(event.payload) === MESSAGE_DELETED) this.backlog.forget(topic.channelId);
    this.#delivered(topic, event);
  }

  #advanceEarly(topic: ChannelFanout): void {
    for (let next = topic.seq + 1n; topic.early.size > 0; next += 1n) {
      const payload = topic.early.get(next);
      if (payload === undefined) break;
      topic.early.delete(next);
      this.#advance(topic, { channelId: topic.channelId, seq: next, payload });
    }
    for (const seq of topic.early.keys()) if (seq <= topic.seq) topic.early.delete(seq);
  }

  #fillSoon(topic: ChannelFanout): void {
    this.fill(topic).catch((error) => {
      this.#log.warn({ err: error }, 'missing events could not be read; the next sweep tries again');
    });
  }

  async #readOn(topic: ChannelFanout): Promise<void> {
    while (topic.seq < topic.known && topic.attached > 0) {
      const rows = await listEvents(this.#pool, topic.channelId, topic.seq, this.#config.replayPage);
      const [first] = rows;
      // The log was cut off behind us: the streams learn it from the log themselves, and get a reset.
      if (first === undefined || first.seq > topic.seq + 1n)
        return this.#skip(topic, first?.seq ?? topic.known + 1n);
      for (const row of rows) if (row.seq === topic.seq + 1n) this.#advance(topic, row);
      this.#advanceEarly(topic);
    }
  }

  #skip(topic: ChannelFanout, next: bigint): void {
    for (const stream of [...topic.live]) {
      stream.detach(topic);
      stream.attach(topic, topic.seq);
    }
    topic.seq = next - 1n;
    if (topic.known < topic.seq) topic.known = topic.seq;
  }
}
