import { durationFromMs } from '@bufbuild/protobuf/wkt';
import type { Logger } from 'pino';
import { ChannelClosedReason, ChannelStateSchema } from '#gen/serp/discuss/v1/event_service_pb.ts';
import type { Config } from '../../config.ts';
import type { Pool } from '../../db/types.ts';
import type { DataKeys } from '../../encryption/data-keys.ts';
import type { Call, Sink } from '../../rpc/call.ts';
import { errors } from '../../rpc/errors.ts';
import { everyInTurns } from '../../rpc/in-turns.ts';
import { countFitting, MAX_ITEM_BYTES } from '../../rpc/response-size.ts';
import type { Metrics } from '../../telemetry/metrics.ts';
import type { LoggedEvent } from '../log/wire.ts';
import { changeField, MEMBERS_JOINED, REDACTING, toEvent, toFrame } from '../log/wire.ts';
import { Backlog } from './backlog.ts';
import { Broadcast } from './broadcast.ts';
import { ChannelFanout, type FanoutParts, sendClosed } from './channel-fanout.ts';
import { StreamRegistry } from './stream-registry.ts';
import { SubscriberStream } from './subscriber-stream.ts';
import type { ChannelState, Subscription } from './subscription.ts';

/**
 * Routes committed events to the fan-outs of their channels. It learns of events from two sides, from the relay at
 * once and from the poller of the log a moment later.
 */
export class Hub {
  /** For what is in no log. */
  readonly broadcast: Broadcast;
  readonly #config: Config['event'];
  readonly #metrics: Metrics;
  readonly #now: () => number;
  readonly #streams = new StreamRegistry();
  readonly #fanouts = new Map<bigint, ChannelFanout>();
  readonly #backlog: Backlog;
  readonly #fanoutParts: FanoutParts;
  readonly #heartbeats: NodeJS.Timeout;

  constructor(parts: {
    config: Config;
    pool: Pool;
    keys: DataKeys;
    log: Logger;
    metrics: Metrics;
    now: () => number;
  }) {
    this.#config = parts.config.event;
    this.#metrics = parts.metrics;
    this.#now = parts.now;
    const pageLimits = { events: this.#config.replayPage, bytes: this.#config.streamBufferBytes };
    this.#backlog = new Backlog(parts.pool, pageLimits, parts.keys);
    this.#fanoutParts = {
      pool: parts.pool,
      pageLimits,
      keys: parts.keys,
      backlog: this.#backlog,
      streams: this.#streams,
      metrics: parts.metrics,
      log: parts.log.child({ part: 'hub' }),
      now: parts.now,
    };
    this.broadcast = new Broadcast(this.#fanouts, this.#streams, parts.metrics);
    const { heartbeatMs } = this.#config;
    // 3,000 streams had heartbeats of 24 ms in one turn.
    this.#heartbeats = everyInTurns(
      Math.min(1_000, heartbeatMs / 4),
      () => this.#streams.all(),
      (stream) => stream.sendHeartbeat(this.#now(), heartbeatMs),
    );
  }

  close(): void {
    clearInterval(this.#heartbeats);
  }

  /**
   * Opens a stream that continues at `cursors`. When this resolves, it was sent all its channels in `started`; it remains
   * open until `close`.
   */
  async open(
    call: Call,
    sink: Sink,
    subscription: Subscription,
    cursors: ReadonlyMap<bigint, bigint>,
  ): Promise<SubscriberStream> {
    if (this.#streams.size >= this.#config.streams)
      throw errors.overloaded('too many streams are open on this instance', this.#config.streams, 5_000);
    const stream = new SubscriberStream({
      caller: call.caller,
      subscription,
      sink,
      log: call.log,
      metrics: this.#metrics,
      backlog: this.#backlog,
      bufferBytes: this.#config.streamBufferBytes,
      replayEvents: this.#config.replayEvents,
    });
    // Before the channels are read, so that no join or departure is missed.
    this.#streams.add(stream);
    try {
      await stream.stateReads.start(() => this.#start(stream, cursors, call.signal));
    } catch (error) {
      this.closeStream(stream);
      throw error;
    }
    return stream;
  }

  /**
   * Ends all streams after the database was restored. What they know of channels and memberships may be lost; with their
   * cursors they receive RESET when they resume.
   */
  restart(): void {
    this.#backlog.clear();
    for (const stream of this.#streams.all()) stream.fail(errors.databaseUnavailable());
  }

  closeStream(stream: SubscriberStream): void {
    if (!this.#streams.remove(stream)) return;
    for (const channelId of stream.channelIds) this.#findFanout(channelId)?.detach(stream);
    stream.close();
  }

  /** Takes an event that was committed, here or at another instance. */
  deliver(event: LoggedEvent): void {
    const { channelId, seq, payload } = event;
    const fanout = this.#findFanout(channelId);
    if (fanout !== undefined) {
      fanout.deliver(seq, payload);
      return;
    }
    const field = changeField(payload);
    if (REDACTING.has(field)) this.#backlog.invalidate(channelId);
    // A channel that no stream has yet may be joined by users with streams here.
    if (field === MEMBERS_JOINED && this.#isJoinedHere(event))
      this.#startFanout(channelId, seq - 1n).deliver(seq, payload);
  }

  /** Takes from the log how far a channel's log reaches, and the joins in its latest part. */
  observeHead(channelId: bigint, headSeq: bigint, joins: readonly LoggedEvent[]): void {
    // A message or a file may have been deleted, which a fan-out that is up to date would not notice.
    this.#backlog.invalidate(channelId);
    for (const event of joins) this.deliver(event);
    this.#findFanout(channelId)?.observeHead(headSeq);
  }

  /** Reads missing events from the log. */
  fillGaps(): void {
    for (const [channelId, fanout] of this.#fanouts) {
      if (fanout.isUnused) this.#fanouts.delete(channelId);
      else fanout.fillGaps();
    }
  }

  // Page by page, so that no message and no statement becomes too large, and at the pace of the reader.
  async #start(
    stream: SubscriberStream,
    cursors: ReadonlyMap<bigint, bigint>,
    signal: AbortSignal,
  ): Promise<void> {
    const named = new Set<bigint>();
    for (let after: bigint | undefined = 0n; after !== undefined; ) {
      const from: bigint = after;
      after = await stream.stateReads.read(() => this.#startPage(stream, cursors, from, named));
      await stream.drained(signal);
      signal.throwIfAborted();
    }
    for (const channelId of cursors.keys())
      if (!named.has(channelId)) sendClosed(stream, channelId, ChannelClosedReason.NOT_MEMBER);
  }

  /** Starts the channels after one, as many as `started` may contain. Returns the last of them if there are more. */
  async #startPage(
    stream: SubscriberStream,
    cursors: ReadonlyMap<bigint, bigint>,
    after: bigint,
    named: Set<bigint>,
  ): Promise<bigint | undefined> {
    const { only, listStates } = stream.subscription;
    const limit = only?.size ?? this.#config.startedChannels;
    const states = await listStates(only && [...only], after, limit + 1);
    if (only !== undefined && after === 0n && states.length < only.size)
      throw errors.channelNotFound([...only].find((id) => !states.some((state) => state.channelId === id)));
    const page = states.slice(0, Math.min(limit, countFitting(ChannelStateSchema, states, MAX_ITEM_BYTES)));
    for (const { channelId } of page) named.add(channelId);
    const more = states.length > page.length;
    this.#sendStarted(stream, cursors, page, more);
    return more ? page.at(-1)?.channelId : undefined;
  }

  #sendStarted(
    stream: SubscriberStream,
    cursors: ReadonlyMap<bigint, bigint>,
    states: readonly ChannelState[],
    more: boolean,
  ): void {
    const { deviceId } = stream.subscription;
    const { heartbeatMs } = this.#config;
    const channels = states.map((state) => ({
      ...state,
      startSeq: cursors.get(state.channelId) ?? state.headSeq,
    }));
    const started = { channels, heartbeatInterval: durationFromMs(heartbeatMs), deviceId, more };
    stream.send(toFrame({ case: 'started', value: started }));
    for (const { channelId, startSeq, headSeq } of channels) {
      const fanout = this.#findFanout(channelId) ?? this.#startFanout(channelId, headSeq);
      fanout.attach(stream, startSeq, headSeq);
    }
    if (!stream.isStarted) stream.start(this.#now() + heartbeatMs * (0.75 + Math.random() / 4));
  }

  #findFanout(channelId: bigint): ChannelFanout | undefined {
    const fanout = this.#fanouts.get(channelId);
    if (fanout?.isUnused !== true) return fanout;
    this.#fanouts.delete(channelId);
    return undefined;
  }

  #startFanout(channelId: bigint, seq: bigint): ChannelFanout {
    const fanout = new ChannelFanout(channelId, seq, this.#fanoutParts);
    this.#fanouts.set(channelId, fanout);
    return fanout;
  }

  #isJoinedHere({ channelId, payload }: LoggedEvent): boolean {
    const { change } = toEvent(payload);
    return (
      change.case === 'membersJoined' &&
      change.value.members.some(({ userId }) => this.#streams.ofUser(channelId, userId).length > 0)
    );
  }
}
