import type { CacheClient } from '../redis/cache-client.ts';

/** Unread numbers of a channel for a user, and what they were counted from, as `listUnread` writes it. */
export type Counted = {
  readonly channelId: bigint;
  readonly state: string;
  readonly unreadCount: number;
  readonly unreadMentionCount: number;
};

/** What is known of a user's channels in an epoch of the database, as texts of PostgreSQL's arrays of equal length. */
export type KnownCounts = {
  readonly epoch: string;
  readonly channelIds: string;
  readonly states: string;
  readonly unread: string;
  readonly mentions: string;
};

export const NOTHING_KNOWN: KnownCounts = {
  epoch: '',
  channelIds: '{}',
  states: '{}',
  unread: '{}',
  mentions: '{}',
};

// The numbers stand beside the state once more, so that a count somebody else wrote is not taken for ours.
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

// Channels that were left or read stay behind; when they are most of what is there, it begins anew.
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

const SPARE = 100;

/**
 * Unread numbers of users by channel, each with the state of channel and marker that it was counted in. PostgreSQL
 * counts anew where the state is another one now, so nothing that is lost, late or left over here changes an answer.
 * A channel is in one tenant, so users of two tenants may share a key and still see nothing of each other.
 */
export class UnreadCache {
  readonly #client: CacheClient;
  readonly #enabled: boolean;

  constructor(client: CacheClient, enabled: boolean) {
    this.#client = client;
    this.#enabled = enabled;
  }

  async find(userId: bigint): Promise<KnownCounts> {
    if (!this.#enabled) return NOTHING_KNOWN;
    const found = await this.#client.ask(READ, keysOf(userId));
    if (!Array.isArray(found)) return NOTHING_KNOWN;
    const [epoch = '', channelIds, states, unread, mentions] = found.map(String);
    // Whatever is in Redis, it must not make the statement fail.
    if (!isNumbers(channelIds) || !isNumbers(unread) || !isNumbers(mentions) || !isStates(states))
      return NOTHING_KNOWN;
    return { epoch, channelIds, states, unread, mentions };
  }

  /** Keeps what was counted anew, of a user with `channels` unread channels in all; waits for nothing. */
  keep(userId: bigint, epoch: string, counted: readonly Counted[], channels: number): void {
    if (!this.#enabled || counted.length === 0) return;
    const entries = counted.flatMap(({ channelId, state, unreadCount, unreadMentionCount }) => [
      `${channelId}`,
      unreadCount,
      `${state} ${unreadCount} ${unreadMentionCount}`,
    ]);
    this.#client.tell(KEEP, keysOf(userId), 2 * channels + SPARE, epoch, ...entries);
  }
}

// The first is the document's, a hash of counts. The second is named so that a cluster has it on the same node.
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
