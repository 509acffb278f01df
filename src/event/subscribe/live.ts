import { LRUCache } from 'lru-cache';
import { toTimestamp } from '../../db/time.ts';
import type { Frame } from '../../rpc/frame.ts';
import type { Metrics } from '../../telemetry/metrics.ts';
import { toFrame } from '../log/wire.ts';
import type { Fanouts } from './fanouts.ts';
import type { Stream } from './stream.ts';
import type { Subscribers } from './subscribers.ts';

const REMEMBERED = 50_000;

export type PresenceUpdate = {
  readonly tenantId: bigint;
  readonly userId: bigint;
  /** Grows with every change of the user's presence. */
  readonly version: bigint;
  /** Channels that are told. */
  readonly channelIds: readonly bigint[];
};

export type TypingUpdate = {
  readonly channelId: bigint;
  readonly userId: bigint;
  /** Epoch ms; 0: stopped. */
  readonly until: number;
};

/**
 * Hands what is in no log to the streams of this process: presence and typing. A stream too slow to take it does
 * without.
 */
export class Live {
  readonly #topics: Fanouts;
  readonly #subscribers: Subscribers;
  readonly #metrics: Metrics;
  // What instances tell of one user may come in another order than it happened.
  readonly #versions = new LRUCache<string, bigint>({ max: REMEMBERED });
  readonly #typing = new LRUCache<string, number>({ max: REMEMBERED });

  constructor(topics: Fanouts, subscribers: Subscribers, metrics: Metrics) {
    this.#topics = topics;
    this.#subscribers = subscribers;
    this.#metrics = metrics;
  }

  /** Tells the streams of the channels, and those that asked for the user, each once. */
  presence({ tenantId, userId, version, channelIds }: PresenceUpdate, frame: Frame): void {
    const key = `${tenantId}:${userId}`;
    if ((this.#versions.get(key) ?? -1n) >= version) return;
    this.#versions.set(key, version);
    const told = new Set<Stream>(this.#subscribers.watching(tenantId, userId));
    for (const channelId of channelIds) {
      for (const stream of this.#topics.get(channelId)?.streams() ?? []) told.add(stream);
    }
    for (const stream of told) stream.offer(frame);
    this.#metrics.liveDelivered.inc({ kind: 'presence' }, told.size);
  }

  /** Tells the streams of a channel that are not the typist's own. */
  typing({ channelId, userId, until }: TypingUpdate): void {
    const key = `${channelId}:${userId}`;
    if (until === 0) this.#typing.delete(key);
    else this.#typing.set(key, until);
    const topic = this.#topics.get(channelId);
    if (topic === undefined) return;
    const expireTime = until === 0 ? {} : { expireTime: toTimestamp(BigInt(until)) };
    const frame = toFrame({ case: 'typing', value: { channelId, userId, ...expireTime } });
    let told = 0;
    for (const stream of topic.streams()) {
      if (stream.caller.userId === userId) continue;
      stream.offer(frame);
      told += 1;
    }
    this.#metrics.liveDelivered.inc({ kind: 'typing' }, told);
  }

  /** Whether a user has been said to type, here or elsewhere, and that has not ended. */
  isTyping(channelId: bigint, userId: bigint, now: number): boolean {
    return (this.#typing.get(`${channelId}:${userId}`) ?? 0) > now;
  }

  forgetTyping(channelId: bigint, userId: bigint): void {
    this.#typing.delete(`${channelId}:${userId}`);
  }

  /** Tells all streams that presence is to be asked for again. */
  reset(): void {
    this.#versions.clear();
    const frame = toFrame({ case: 'presenceReset', value: {} });
    for (const { stream } of this.#subscribers.ofAll()) if (stream.heartbeatAt > 0) stream.offer(frame);
  }
}
