import type { Frame } from '../../rpc/frame.ts';
import type { ChannelState } from './channel-state.ts';
import { heartbeatFrame } from './heartbeat.ts';
import type { Stream } from './stream.ts';

/** What a stream is of, and how to find its channels with the rights of its caller. */
export type Subscription = {
  /** Channels asked for; undefined: all the caller's. */
  readonly only: ReadonlySet<bigint> | undefined;
  readonly cursors: ReadonlyMap<bigint, bigint>;
  /** Users whose presence was asked for. */
  readonly watched: ReadonlySet<bigint>;
  /** Device the stream is of. */
  readonly deviceId: string;
  /** States of the caller's channels, of all or of those named. */
  readonly find: (channelIds: readonly bigint[] | undefined) => Promise<readonly ChannelState[]>;
};

export type Subscriber = {
  readonly stream: Stream;
  readonly subscription: Subscription;
  /** Joins and departures that came while the channels are being read; undefined when they are not. */
  held: (() => void)[] | undefined;
};

/** The streams of this process by user. */
export class Subscribers {
  // Two tenants may use the same user id.
  readonly #byUser = new Map<bigint, Set<Subscriber>>();
  readonly #byWatched = new Map<bigint, Set<Subscriber>>();
  #count = 0;

  get count(): number {
    return this.#count;
  }

  add(subscriber: Subscriber): void {
    addTo(this.#byUser, subscriber.stream.caller.userId, subscriber);
    for (const userId of subscriber.subscription.watched) addTo(this.#byWatched, userId, subscriber);
    this.#count += 1;
  }

  /** False when it was not there any more. */
  remove(subscriber: Subscriber): boolean {
    if (!removeFrom(this.#byUser, subscriber.stream.caller.userId, subscriber)) return false;
    for (const userId of subscriber.subscription.watched) removeFrom(this.#byWatched, userId, subscriber);
    this.#count -= 1;
    return true;
  }

  /** A user's streams that may have a channel. Of which tenant is left to the channel's state to tell. */
  ofUser(channelId: bigint, userId: bigint): Subscriber[] {
    return [...(this.#byUser.get(userId) ?? [])].filter(
      ({ subscription: { only } }) => only === undefined || only.has(channelId),
    );
  }

  /** Streams that have started and asked for a user of their tenant. */
  *watching(tenantId: bigint, userId: bigint): Generator<Stream> {
    for (const { stream } of this.#byWatched.get(userId) ?? []) {
      if (stream.caller.tenantId === tenantId && stream.heartbeatAt > 0) yield stream;
    }
  }

  ofAll(): Subscriber[] {
    return [...this.#byUser.values()].flatMap((subscribers) => [...subscribers]);
  }

  /** Sends a message to all streams of a user that have started. */
  signal(tenantId: bigint, userId: bigint, frame: Frame): void {
    for (const { stream } of this.#byUser.get(userId) ?? []) {
      if (stream.caller.tenantId === tenantId && stream.heartbeatAt > 0) stream.offer(frame);
    }
  }

  /** Sends the heartbeats that are due. */
  beat(now: number, everyMs: number): void {
    for (const subscribers of this.#byUser.values()) {
      for (const { stream } of subscribers) {
        if (stream.heartbeatAt === 0 || stream.heartbeatAt > now) continue;
        stream.offer(heartbeatFrame(stream, now));
        stream.heartbeatBefore = now;
        stream.heartbeatAt = now + everyMs;
      }
    }
  }
}

type ByUser = Map<bigint, Set<Subscriber>>;

function addTo(index: ByUser, userId: bigint, subscriber: Subscriber): void {
  index.set(userId, (index.get(userId) ?? new Set()).add(subscriber));
}

function removeFrom(index: ByUser, userId: bigint, subscriber: Subscriber): boolean {
  const subscribers = index.get(userId);
  const removed = subscribers?.delete(subscriber) === true;
  if (subscribers?.size === 0) index.delete(userId);
  return removed;
}
