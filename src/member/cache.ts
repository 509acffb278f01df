import type { CacheClient } from '../redis/cache-client.ts';

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

// The counts are stored beside the state too, so that a count written by another program is not used.
const READ = `
  local counts = {}
  local pairs = redis.call('hgetall', KEYS[1])
  for i = 1, #pairs, 2 do counts[pairs[i]] = pairs[i + 1] end
  local ids, states, unread, mentions = {}, {}, {}, {}
  pairs = redis.call('hgetall', KEYS[2])
  for i = 1, #pairs, 2 do
    local state, count, mentioned = string.match(pairs[i + 1], '^(%S+) (%d+) (%d+)$')
    if state and counts[pairs[i]] == count then
      local n = #ids + 1
      ids[n], states[n], unread[n], mentions[n] = pairs[i], state, count, mentioned
    end
  end
  return {
    redis.call('hget', KEYS[2], 'epoch') or '',
    '{' .. table.concat(ids, ',') .. '}', '{' .. table.concat(states, ',') .. '}',
    '{' .. table.concat(unread, ',') .. '}', '{' .. table.concat(mentions, ',') .. '}'
  }
`;

// Entries of channels that were left or read are not removed one by one; when they are the majority, the hash is
// cleared.
const KEEP = `
  if redis.call('hget', KEYS[2], 'epoch') ~= ARGV[2] or redis.call('hlen', KEYS[2]) > tonumber(ARGV[1]) then
    redis.call('del', KEYS[1], KEYS[2])
    redis.call('hset', KEYS[2], 'epoch', ARGV[2])
  end
  for i = 3, #ARGV, 3 do
    redis.call('hset', KEYS[1], ARGV[i], ARGV[i + 1])
    redis.call('hset', KEYS[2], ARGV[i], ARGV[i + 2])
  end
  return 1
`;

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
    const found = await this.#client.ask(READ, keysOf(userId));
    if (!Array.isArray(found)) return NO_COUNTS;
    const [epoch = '', channelIds, states, unread, mentions] = found.map(String);
    // Malformed content in Redis must not make the statement fail.
    if (!isNumbers(channelIds) || !isNumbers(unread) || !isNumbers(mentions) || !isStates(states))
      return NO_COUNTS;
    return { epoch, channelIds, states, unread, mentions };
  }

  /** Stores new counts of a user with `channels` unread channels in total, in the background. */
  keep(userId: bigint, epoch: string, counted: readonly UnreadCounts[], channels: number): void {
    if (!this.#enabled || counted.length === 0) return;
    const entries = counted.flatMap(({ channelId, state, unreadCount, unreadMentionCount }) => [
      `${channelId}`,
      unreadCount,
      `${state} ${unreadCount} ${unreadMentionCount}`,
    ]);
    this.#client.tell(KEEP, keysOf(userId), 2 * channels + SPARE_ENTRIES, epoch, ...entries);
  }
}

// The customer's document defines the first, a hash of counts. The hash tag puts the second on the same cluster node.
function keysOf(userId: bigint): [counts: string, states: string] {
  const key = `unread:${userId}`;
  return [key, `{${key}}:states`];
}

function isNumbers(text: string | undefined): text is string {
  return text !== undefined && /^\{(\d{1,18}(,\d{1,18})*)?\}$/.test(text);
}

function isStates(text: string | undefined): text is string {
  return text !== undefined && /^\{[-.,\d]*\}$/.test(text);
}
