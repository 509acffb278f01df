import { toTimestamp } from '../../db/time.ts';
import type { Frame } from '../../rpc/frame.ts';
import { lruCache } from '../../rpc/lru.ts';
import type { Metrics } from '../../telemetry/metrics.ts';
import { toFrame } from '../log/wire.ts';
import type { ChannelFanout } from './channel-fanout.ts';
import type { StreamRegistry } from './stream-registry.ts';
import type { SubscriberStream } from './subscriber-stream.ts';

const MAX_REMEMBERED = 50_000;

export type PresenceUpdate = {
  readonly tenantId: bigint;
  readonly userId: bigint;
  /** Grows with every change of the user's presence. */
  readonly version: bigint;
  /** Channels whose streams receive it. */
  readonly channelIds: readonly bigint[];
};

export type TypingUpdate = {
  readonly channelId: bigint;
  readonly userId: bigint;
  /** Epoch ms; 0 when the user stopped. */
  readonly until: number;
};

/**
 * Sends messages that are in no log to the streams of this process: signals to one user, presence and typing. A stream
 * whose connection is full does not receive them.
 */
export class Broadcast {
  readonly #fanouts: ReadonlyMap<bigint, ChannelFanout>;
  readonly #streams: StreamRegistry;
  readonly #metrics: Metrics;
  // Updates of one user by different instances may arrive in another order than they were made.
  readonly #versions = lruCache<string, bigint>(MAX_REMEMBERED);
  readonly #typing = lruCache<string, number>(MAX_REMEMBERED);

  constructor(fanouts: ReadonlyMap<bigint, ChannelFanout>, streams: StreamRegistry, metrics: Metrics) {
    this.#fanouts = fanouts;
    this.#streams = streams;
    this.#metrics = metrics;
  }

  /** Sends a message to all streams of a user. */
  signal(tenantId: bigint, userId: bigint, frame: Frame): void {
    for (const stream of this.#streams.startedOf(tenantId, userId)) stream.trySend(frame);
  }

  /** Sends a user's presence once to each stream that has one of the channels or requested the user. */
  presence({ tenantId, userId, version, channelIds }: PresenceUpdate, frame: Frame): void {
    const key = `${tenantId}:${userId}`;
    if ((this.#versions.get(key) ?? -1n) >= version) return;
    this.#versions.set(key, version);
    const receivers = new Set<SubscriberStream>(this.#streams.watching(tenantId, userId));
    for (const channelId of channelIds) {
      for (const stream of this.#fanouts.get(channelId)?.streams ?? []) receivers.add(stream);
    }
    for (const stream of receivers) stream.trySend(frame);
    this.#metrics.liveDelivered.inc({ kind: 'presence' }, receivers.size);
  }

  /** Sends a typing indicator to the streams of a channel, except those of the typing user. */
  typing({ channelId, userId, until }: TypingUpdate): void {
    const key = `${channelId}:${userId}`;
    if (until === 0) this.#typing.delete(key);
    else this.#typing.set(key, until);
    const fanout = this.#fanouts.get(channelId);
    if (fanout === undefined) return;
    const expireTime = until === 0 ? {} : { expireTime: toTimestamp(BigInt(until)) };
    const frame = toFrame({ case: 'typing', value: { channelId, userId, ...expireTime } });
    let sent = 0;
    for (const stream of fanout.streams) {
      if (stream.caller.userId === userId) continue;
      stream.trySend(frame);
      sent += 1;
    }
    this.#metrics.liveDelivered.inc({ kind: 'typing' }, sent);
  }

  /** Whether a user's typing was reported, here or at another instance for a tenant with streams here, and has not ended. */
  isTyping(channelId: bigint, userId: bigint, now: number): boolean {
    return (this.#typing.get(`${channelId}:${userId}`) ?? 0) > now;
  }

  forgetTyping(channelId: bigint, userId: bigint): void {
    this.#typing.delete(`${channelId}:${userId}`);
  }

  /** Requests of all streams to read presence again. */
  reset(): void {
    this.#versions.clear();
    const frame = toFrame({ case: 'presenceReset', value: {} });
    for (const stream of this.#streams.all()) if (stream.isStarted) stream.trySend(frame);
  }
}
