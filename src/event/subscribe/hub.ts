import type { Logger } from 'pino';
import { ChannelClosedReason } from '#gen/serp/discuss/v1/event_service_pb.ts';
import type { Config } from '../../config.ts';
import type { Pool } from '../../db/types.ts';
import type { Call, Sink } from '../../rpc/call.ts';
import { errors } from '../../rpc/errors.ts';
import type { Frame } from '../../rpc/frame.ts';
import type { Metrics } from '../../telemetry/metrics.ts';
import type { LoggedEvent } from '../log/sql.ts';
import { CHANNEL_DELETED, changeField, MEMBER_LEFT, MEMBERS_JOINED, toEvent, toFrame } from '../log/wire.ts';
import type { ChannelFanout } from './channel-fanout.ts';
import { Fanouts } from './fanouts.ts';
import { Live } from './live.ts';
import { Stream } from './stream.ts';
import { type Subscriber, Subscribers, type Subscription } from './subscribers.ts';

/**
 * Hands the events of channels to the streams of this process. It is told of events from two sides, by the
 * relay at once and by the sweep of the log a moment later, in any order, more than once or not at all; by
 * `seq` it delivers each once and in order, reading from the log what did not come.
 */
export class Hub {
  readonly #config: Config['event'];
  readonly #log: Logger;
  readonly #metrics: Metrics;
  readonly #now: () => number;
  readonly #topics: Fanouts;
  readonly #subscribers = new Subscribers();
  readonly #heartbeat: NodeJS.Timeout;
  /** For what is in no log. */
  readonly live: Live;

  constructor(parts: { config: Config; pool: Pool; log: Logger; metrics: Metrics; now: () => number }) {
    this.#config = parts.config.event;
    this.#log = parts.log.child({ part: 'hub' });
    this.#metrics = parts.metrics;
    this.#now = parts.now;
    this.#topics = new Fanouts({ ...parts, config: this.#config, log: this.#log }, this.#follow);
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
    if (this.streams >= this.#config.streams) throw errors.overloaded('streams', 5_000);
    const stream = new Stream({
      caller: call.caller,
      sink,
      log: call.log,
      metrics: this.#metrics,
      backlog: this.#topics.backlog,
      fill: (topic) => this.#topics.fill(topic),
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
    const isHeard = this.#topics.deliver(event);
    if (!isHeard && changeField(event.payload) === MEMBERS_JOINED) this.#join(event);
  }

  /** Learns from the log how far channels are, and who joined. */
  learn(channelId: bigint, head: bigint, joins: readonly LoggedEvent[]): void {
    for (const event of joins) this.#join(event);
    this.#topics.learn(channelId, head);
  }

  /** Reads from the log what is known to be missing. */
  mend(): void {
    this.#topics.mend();
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
    if (only !== undefined && states.length < only.size) throw errors.channelNotFound();
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
      this.#topics.attach(stream, channelId, startSeq, headSeq);
    for (const channelId of cursors.keys())
      if (!stream.topics.has(channelId)) sendClosed(stream, channelId, ChannelClosedReason.NOT_MEMBER);
    stream.heartbeatAt = this.#now() + this.#config.heartbeatMs * (0.75 + Math.random() / 4);
  }

  // Who gets what after an event that changes it, before anything later can be sent.
  readonly #follow = (topic: ChannelFanout, event: LoggedEvent): void => {
    const field = changeField(event.payload);
    if (field === MEMBERS_JOINED) this.#join(event);
    if (field === MEMBER_LEFT) this.#leave(topic, event);
    if (field === CHANNEL_DELETED) this.#end(topic, this.#subscribers.ofAll(), ChannelClosedReason.DELETED);
  };

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
    this.#topics.attach(stream, event.channelId, startSeq, state.headSeq);
  }

  #leave(topic: ChannelFanout, event: LoggedEvent): void {
    const { change } = toEvent(event.payload);
    if (change.case !== 'memberLeft') return;
    const subscribers = this.#subscribers.ofUser(topic.channelId, change.value.userId);
    this.#end(topic, subscribers, ChannelClosedReason.NOT_MEMBER);
  }

  #end(topic: ChannelFanout, subscribers: readonly Subscriber[], reason: ChannelClosedReason): void {
    for (const { stream, held } of subscribers) {
      const end = () => {
        if (!stream.topics.has(topic.channelId)) return;
        this.#topics.detach(stream, topic);
        sendClosed(stream, topic.channelId, reason);
      };
      if (held === undefined) end();
      else held.push(end);
    }
  }

  #unregister(subscriber: Subscriber): void {
    const { stream } = subscriber;
    if (!this.#subscribers.remove(subscriber)) return;
    for (const topic of [...stream.topics.values()]) this.#topics.detach(stream, topic);
    stream.close();
  }
}

function sendClosed(stream: Stream, channelId: bigint, reason: ChannelClosedReason): void {
  stream.send(toFrame({ case: 'channelClosed', value: { channelId, reason } }));
}
