import type { CacheClient } from '../redis/cache-client.ts';
import { loadScript } from '../redis/script.ts';

const readUnread = loadScript(import.meta.dirname, 'read-unread');
const keepUnread = loadScript(import.meta.dirname, 'keep-unread');

/** Unread counts of a channel for a user, and the state they were counted in, as `listUnread` returns it. */
export type UnreadCounts = {
  readonly channelId: bigint;
  readonly state: string;
  readonly unreadCount: number;
  readonly unreadMentionCount: number;
};

/** Cached counts of a user's channels in an epoch of the database, as texts of PostgreSQL arrays of equal length. */
export type CachedCounts = {
  readonly epoch: string;
  readonly channelIds: string;
  readonly states: string;
  readonly unread: string;
  readonly mentions: string;
};

export const NO_COUNTS: CachedCounts = {
  epoch: '',
  channelIds: '{}',
  states: '{}',
  unread: '{}',
  mentions: '{}',
};

const SPARE_ENTRIES = 100;

/**
 * Unread counts of users by channel, each with the state of channel and marker in which it was counted. PostgreSQL
 * recounts when the state has changed, so lost, late or stale entries never change a response. A channel belongs to
 * one tenant, so users of two tenants may share a key without seeing each other's counts.
 */
export class UnreadCache {
  readonly #client: CacheClient;
  readonly #enabled: boolean;

  constructor(client: CacheClient, enabled: boolean) {
    this.#client = client;
    this.#enabled = enabled;
  }

  async find(userId: bigint): Promise<CachedCounts> {
    if (!this.#enabled) return NO_COUNTS;
    const reply = await this.#client.read(readUnread, keysOf(userId));
    if (reply === undefined) return NO_COUNTS;
    const [channelIds, states] = [reply.text('channel_ids'), reply.text('states')];
    const [unread, mentions] = [reply.text('unread'), reply.text('mentions')];
    // Malformed content in Redis must not make the statement fail.
    if (!isNumbers(channelIds) || !isNumbers(unread) || !isNumbers(mentions) || !isStates(states))
      return NO_COUNTS;
    return { epoch: reply.text('epoch'), channelIds, states, unread, mentions };
  }

  /** Stores new counts of a user with `channels` unread channels in total, in the background. */
  keep(userId: bigint, epoch: string, counted: readonly UnreadCounts[], channels: number): void {
    if (!this.#enabled || counted.length === 0) return;
    const entries = counted.flatMap(({ channelId, state, unreadCount, unreadMentionCount }) => [
      `${channelId}`,
      unreadCount,
      `${state} ${unreadCount} ${unreadMentionCount}`,
    ]);
    this.#client.write(keepUnread, keysOf(userId), 2 * channels + SPARE_ENTRIES, epoch, ...entries);
  }
}

// The customer's document defines the first, a hash of counts. The hash tag puts the second on the same cluster node.
function keysOf(userId: bigint): [counts: string, states: string] {
  const key = `unread:${userId}`;
  return [key, `{${key}}:states`];
}

function isNumbers(text: string): boolean {
  return /^\{(\d{1,18}(,\d{1,18})*)?\}$/.test(text);
}

function isStates(text: string): boolean {
  return /^\{[-.,\d]*\}$/.test(text);
}
