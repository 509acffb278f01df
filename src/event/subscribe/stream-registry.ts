import type { SubscriberStream } from './subscriber-stream.ts';

/** The Subscribe calls of this process, by user. */
export class StreamRegistry {
  // Two tenants may use the same user id.
  readonly #byUser = new Map<bigint, Set<SubscriberStream>>();
  readonly #byWatched = new Map<bigint, Set<SubscriberStream>>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  add(stream: SubscriberStream): void {
    addTo(this.#byUser, stream.caller.userId, stream);
    for (const userId of stream.subscription.watched) addTo(this.#byWatched, userId, stream);
    this.#size += 1;
  }

  /** Returns false when the stream was not registered. */
  remove(stream: SubscriberStream): boolean {
    if (!removeFrom(this.#byUser, stream.caller.userId, stream)) return false;
    for (const userId of stream.subscription.watched) removeFrom(this.#byWatched, userId, stream);
    this.#size -= 1;
    return true;
  }

  *all(): Generator<SubscriberStream> {
    for (const streams of this.#byUser.values()) yield* streams;
  }

  /** Streams of a user of any tenant that may have a channel; the channel's state tells whether they do. */
  ofUser(channelId: bigint, userId: bigint): SubscriberStream[] {
    return [...(this.#byUser.get(userId) ?? [])].filter(
      ({ subscription: { only } }) => only === undefined || only.has(channelId),
    );
  }

  /** Started streams of a user. */
  startedOf(tenantId: bigint, userId: bigint): SubscriberStream[] {
    return startedIn(this.#byUser.get(userId), tenantId);
  }

  /** Started streams that requested the presence of a user. */
  watching(tenantId: bigint, userId: bigint): SubscriberStream[] {
    return startedIn(this.#byWatched.get(userId), tenantId);
  }
}

type ByUser = Map<bigint, Set<SubscriberStream>>;

function startedIn(streams: ReadonlySet<SubscriberStream> | undefined, tenantId: bigint): SubscriberStream[] {
  return [...(streams ?? [])].filter((stream) => stream.caller.tenantId === tenantId && stream.isStarted);
}

function addTo(index: ByUser, userId: bigint, stream: SubscriberStream): void {
  index.set(userId, (index.get(userId) ?? new Set()).add(stream));
}

function removeFrom(index: ByUser, userId: bigint, stream: SubscriberStream): boolean {
  const streams = index.get(userId);
  const isRemoved = streams?.delete(stream) === true;
  if (streams?.size === 0) index.delete(userId);
  return isRemoved;
}
