import { setTimeout as sleep } from 'node:timers/promises';
import type { Listener } from '../redis/subscriber.ts';

const BUCKETS = 1_024n;
// On different nodes of a cluster, mostly: while one is dead, another channel of the group is used.
const ALTERNATIVES = 4;
// What a stream reads from the log may be cached for a minute, and must not miss a redaction in it.
const LINGER_MS = 90_000;
const CONFIRM_MS = 250;

/** Channels of Redis with the same receivers: a share of the tenants, all instances, or those with tenant streams. */
export type Group = string;

export const ALL_INSTANCES: Group = 'all';
export const TENANT_STREAMS: Group = 'tenant-streams';

/** Tenants share groups, so that an instance with many tenants has no more than a few thousand subscriptions. */
export function groupOf(tenantId: bigint): Group {
  return `${BigInt.asUintN(64, tenantId) % BUCKETS}`;
}

type Following = { count: number; linger: NodeJS.Timeout | undefined; added: Promise<void> };

/** The channels of Redis that this instance needs, and those on which it publishes. */
export class RelayChannels {
  readonly #listener: Listener;
  readonly #following = new Map<Group, Following>();
  readonly #alternatives = new Map<Group, number>();

  constructor(listener: Listener) {
    this.#listener = listener;
    void this.follow(ALL_INSTANCES);
  }

  /** Whether this instance receives all that it needs. */
  get isComplete(): boolean {
    return this.#listener.isComplete;
  }

  /** The channel on which to publish for a group. */
  channelOf(group: Group): string {
    return toChannel(group, this.#alternatives.get(group) ?? 0);
  }

  /** To be called when publishing on its channel failed: its node may be dead. */
  skip(group: Group): void {
    this.#alternatives.set(group, ((this.#alternatives.get(group) ?? 0) + 1) % ALTERNATIVES);
  }

  /**
   * Subscribes to a group until the returned function is called. Resolves when Redis has confirmed, so that a stream does
   * not wait for the log; or after a moment, because nothing depends on Redis.
   */
  async follow(group: Group): Promise<() => void> {
    const following = this.#following.get(group) ?? this.#add(group);
    following.count += 1;
    clearTimeout(following.linger);
    const unconfirmed = new AbortController();
    await Promise.race([following.added, sleep(CONFIRM_MS, undefined, unconfirmed).catch(() => {})]);
    unconfirmed.abort();
    return () => this.#unfollow(group, following);
  }

  close(): void {
    for (const { linger } of this.#following.values()) clearTimeout(linger);
    this.#listener.close();
  }

  #add(group: Group): Following {
    const following = { count: 0, linger: undefined, added: this.#listener.add(channelsOf(group)) };
    this.#following.set(group, following);
    return following;
  }

  #unfollow(group: Group, following: Following): void {
    following.count -= 1;
    if (following.count > 0) return;
    following.linger = setTimeout(() => {
      this.#following.delete(group);
      void this.#listener.remove(channelsOf(group));
    }, LINGER_MS).unref();
  }
}

function channelsOf(group: Group): string[] {
  return Array.from({ length: ALTERNATIVES }, (_, alternative) => toChannel(group, alternative));
}

// The hash tag distributes the channels over the nodes of a cluster.
function toChannel(group: Group, alternative: number): string {
  return `discuss:relay:{${group}.${alternative}}`;
}
