import type { Logger } from 'pino';
import { ChannelClosedReason } from '#gen/serp/discuss/v1/event_service_pb.ts';
import type { Config } from '../config.ts';
import type { Pool } from '../db/database.ts';
import type { Call, Sink } from '../edge/call.ts';
import { refuse } from '../edge/errors.ts';
import type { Frame } from '../edge/frame.ts';
import type { Metrics } from '../edge/metrics.ts';
import { Backlog } from './backlog.ts';
import { changeField, toEvent, toEventFrame, toFrame } from './frames.ts';
import { Live } from './live.ts';
import { type LoggedEvent, listEvents } from './sql.ts';
import { Stream } from './stream.ts';
import { type Subscriber, Subscribers, type Subscription } from './subscribers.ts';
import { Topic } from './topic.ts';

// Numbers of the fields of `Event.change` that change who gets what.
const MEMBERS_JOINED = 12;
const MEMBER_LEFT = 13;
const CHANNEL_DELETED = 15;
// What it deleted is gone from the log, too.
const MESSAGE_DELETED = 21;
const MAX_EARLY = 1_000;

/**
 * Hands the events of channels to the streams of this process. It is told of events from two sides, by the
 * relay at once and by the sweep of the log a moment later, in any order, more than once or not at all; by
 * `seq` it delivers each once and in order, reading from the log what did not come.
 */
export class Hub {
  readonly #config: Config['event'];
  readonly #pool: Pool;
  readonly #log: Logger;
  readonly #metrics: Metrics;
  readonly #now: () => number;
  readonly #backlog: Backlog;
  readonly #topics = new Map<bigint, Topic>();
  readonly #subscribers = new Subscribers();
  readonly #heartbeat: NodeJS.Timeout;
  /** For what is in no log. */
  readonly live: Live;

  constructor(parts: { config: Config; pool: Pool; log: Logger; metrics: Metrics; now: () => number }) {
    this.#config = parts.config.event;
    this.#pool = parts.pool;
    this.#log = parts.log.child({ part: 'hub' });
    this.#metrics = parts.metrics;
    this.#now = parts.now;
    this.#backlog = new Backlog(parts.pool, this.#config.replayPage);
    this.live = new Live(this.#topics, this.#subscribers, parts.metrics);
    this.#heartbeat = setInterval(
      () => this.#subscribers.beat(this.#now(), this.#config.heartbeatMs),
      Math.min(1_000, this.#config.heartbeatMs / 4),
    );
  }

  get streams(): number {
    return this.#subscribers.count;
  }

  close(): void {
    clearInterval(this.#heartbeat);
  }

  /**
   * Takes in a stream until `close` of the returned handle; `failed` rejects when it cannot go on. It has been
   * sent `started` when this resolves.
   */
  async open(
    call: Call,
    sink: Sink,
    subscription: Subscription,
  ): Promise<{ failed: Promise<never>; offer(frame: Frame): void; close(): void }> {
    if (this.streams >= this.#config.streams) throw refuse.overloaded('streams', 5_000);
    const stream = new Stream({
      caller: call.caller,
      sink,
      log: call.log,
      metrics: this.#metrics,
      backlog: this.#backlog,
      fill: (topic) => this.#fill(topic),
      bufferBytes: this.#config.streamBufferBytes,
      replayEvents: this.#config.replayEvents,
    });
    const subscriber: Subscriber = { stream, subscription, held: undefined };
    this.#subscribers.add(subscriber);
    try {
      await this.#hold(subscriber, () => this.#start(subscriber));
    } catch (error) {
      this.#unregister(subscriber);
      throw error;
    }
    return {
      failed: stream.failed,
      offer: (frame) => stream.offer(frame),
      close: () => this.#unregister(subscriber),
    };
  }

  /** Takes an event that was committed, here or elsewhere. */
  deliver(event: LoggedEvent): void {
    const topic = this.#topics.get(event.channelId);
    const field = changeField(event.payload);
    if (field === MESSAGE_DELETED) this.#backlog.forget(event.channelId);
    if (topic === undefined) {
      if (field === MEMBERS_JOINED) this.#join(event);
      return;
    }
    if (event.seq <= topic.seq) return;
    if (event.seq === topic.seq + 1n) {
      this.#advance(topic, event);
      this.#advanceEarly(topic);
    } else {
      if (topic.early.size < MAX_EARLY) topic.early.set(event.seq, event.payload);
      if (topic.known < event.seq) topic.known = event.seq;
      this.#fillSoon(topic);
    }
  }

  /** Learns from the log how far channels are, and who joined. */
  learn(channelId: bigint, head: bigint, joins: readonly LoggedEvent[]): void {
    for (const event of joins) this.#join(event);
    // There may be a deletion among the changes, and a topic that is up to date may owe that to the database.
    this.#backlog.forget(channelId);
    const topic = this.#topics.get(channelId);
    if (topic === undefined || head <= topic.seq) return;
    if (topic.known < head) topic.known = head;
  }

  /** Reads from the log what is known to be missing. */
  mend(): void {
    for (const topic of this.#topics.values()) if (topic.known > topic.seq) this.#fillSoon(topic);
  }

  /** Sends a message to all streams of a user. */
  signal(tenantId: bigint, userId: bigint, frame: Frame): void {
    this.#subscribers.signal(tenantId, userId, frame);
  }

  // Joins and departures that come while a stream's channels are being read are done afterwards: the answer
  // may be older than they are.
  async #hold(subscriber: Subscriber, read: () => Promise<void>): Promise<void> {
    const held: (() => void)[] = [];
    subscriber.held = held;
    try {
      await read();
    } finally {
      subscriber.held = undefined;
      for (const change of held) change();
    }
  }

  async #start(subscriber: Subscriber): Promise<void> {
    const { stream, subscription } = subscriber;
    const { only, cursors, deviceId } = subscription;
    const states = await subscription.find(only === undefined ? undefined : [...only]);
    if (only !== undefined && states.length < only.size) throw refuse.channelNotFound();
    const channels = states.map((state) => ({
      ...state,
      startSeq: cursors.get(state.channelId) ?? state.headSeq,
    }));
    stream.send(
      toFrame({
        case: 'started',
        value: { channels, heartbeatIntervalMs: this.#config.heartbeatMs, deviceId },
      }),
    );
    for (const { channelId, startSeq, headSeq } of channels)
      this.#attach(stream, channelId, startSeq, headSeq);
    for (const channelId of cursors.keys())
      if (!stream.topics.has(channelId)) sendClosed(stream, channelId, ChannelClosedReason.NOT_MEMBER);
    stream.heartbeatAt = this.#now() + this.#config.heartbeatMs * (0.75 + Math.random() / 4);
  }

  #attach(stream: Stream, channelId: bigint, startSeq: bigint, headSeq: bigint): void {
    let topic = this.#topics.get(channelId);
    if (topic === undefined) {
      topic = new Topic(channelId, headSeq);
      this.#topics.set(channelId, topic);
    }
    if (topic.known < headSeq) topic.known = headSeq;
    if (startSeq > topic.known) {
      stream.send(toFrame({ case: 'reset', value: { channelId, headSeq } }));
      stream.attach(topic, headSeq);
    } else {
      stream.attach(topic, startSeq);
    }
  }

  #detach(stream: Stream, topic: Topic): void {
    stream.detach(topic);
    if (topic.attached === 0) this.#topics.delete(topic.channelId);
  }

  #advance(topic: Topic, event: LoggedEvent): void {
    this.#metrics.eventsDelivered.inc(topic.live.size);
    topic.advance(toEventFrame(event.payload), this.#now());
    const field = changeField(event.payload);
    if (field === MEMBERS_JOINED) this.#join(event);
    if (field === MEMBER_LEFT) this.#leave(topic, event);
    if (field === CHANNEL_DELETED) this.#end(topic, this.#subscribers.ofAll(), ChannelClosedReason.DELETED);
    if (field === MESSAGE_DELETED) this.#backlog.forget(topic.channelId);
  }

  #advanceEarly(topic: Topic): void {
    for (let next = topic.seq + 1n; topic.early.size > 0; next += 1n) {
      const payload = topic.early.get(next);
      if (payload === undefined) break;
      topic.early.delete(next);
      this.#advance(topic, { channelId: topic.channelId, seq: next, payload });
    }
    for (const seq of topic.early.keys()) if (seq <= topic.seq) topic.early.delete(seq);
  }

  #fillSoon(topic: Topic): void {
    this.#fill(topic).catch((error) => {
      this.#log.warn({ err: error }, 'missing events could not be read; the next sweep tries again');
    });
  }

  #fill(topic: Topic): Promise<void> {
    topic.filling ??= this.#readOn(topic).finally(() => {
      topic.filling = undefined;
    });
    return topic.filling;
  }

  async #readOn(topic: Topic): Promise<void> {
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

  #skip(topic: Topic, next: bigint): void {
    for (const stream of [...topic.live]) {
      stream.detach(topic);
      stream.attach(topic, topic.seq);
    }
    topic.seq = next - 1n;
    if (topic.known < topic.seq) topic.known = topic.seq;
  }

  // One user after the other: a large group that is added at once must not take all database connections.
  #join(event: LoggedEvent): void {
    const { change } = toEvent(event.payload);
    if (change.case !== 'membersJoined') return;
    const found = change.value.members.flatMap(({ userId }) =>
      this.#subscribers.ofUser(event.channelId, userId),
    );
    void (async () => {
      for (const subscriber of found) await this.#openLater(subscriber, event);
    })();
  }

  async #openLater(subscriber: Subscriber, event: LoggedEvent): Promise<void> {
    if (subscriber.held !== undefined) {
      subscriber.held.push(() => void this.#openLater(subscriber, event));
      return;
    }
    if (subscriber.stream.topics.has(event.channelId)) return;
    try {
      await this.#hold(subscriber, () => this.#openNow(subscriber, event));
    } catch (error) {
      this.#log.warn({ err: error }, 'a channel joined could not be opened on a stream; the stream ends');
      subscriber.stream.fail(error);
    }
  }

  async #openNow({ stream, subscription }: Subscriber, event: LoggedEvent): Promise<void> {
    const [state] = await subscription.find([event.channelId]);
    if (state === undefined || stream.closed) return;
    const startSeq = event.seq - 1n;
    stream.send(toFrame({ case: 'channelOpened', value: { channel: { ...state, startSeq } } }));
    this.#attach(stream, event.channelId, startSeq, state.headSeq);
  }

  #leave(topic: Topic, event: LoggedEvent): void {
    const { change } = toEvent(event.payload);
    if (change.case !== 'memberLeft') return;
    const subscribers = this.#subscribers.ofUser(topic.channelId, change.value.userId);
    this.#end(topic, subscribers, ChannelClosedReason.NOT_MEMBER);
  }

  #end(topic: Topic, subscribers: readonly Subscriber[], reason: ChannelClosedReason): void {
    for (const { stream, held } of subscribers) {
      const end = () => {
        if (!stream.topics.has(topic.channelId)) return;
        this.#detach(stream, topic);
        sendClosed(stream, topic.channelId, reason);
      };
      if (held === undefined) end();
      else held.push(end);
    }
  }

  #unregister(subscriber: Subscriber): void {
    const { stream } = subscriber;
    if (!this.#subscribers.remove(subscriber)) return;
    for (const topic of [...stream.topics.values()]) this.#detach(stream, topic);
    stream.close();
  }
}

function sendClosed(stream: Stream, channelId: bigint, reason: ChannelClosedReason): void {
  stream.send(toFrame({ case: 'channelClosed', value: { channelId, reason } }));
}
