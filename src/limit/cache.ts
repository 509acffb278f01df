import type { Result } from 'ioredis';
import type { RedisClient } from '../redis/client.ts';
import type { Bucket } from '../rpc/interceptors/rate-limit.ts';

/**
 * `limit:{tenant}:…` holds, in µs of Redis's clock, when a bucket will be full; it is gone when it is. A call puts
 * that off by what it takes to refill, and there is none left when it is a minute away. All buckets of a call are of
 * one tenant, hence of one node: it takes from each of them or from none. Answers which one is empty, counted from 1,
 * and for how many µs.
 */
const TAKE = `
local time = redis.call('TIME')
local now = (time[1] - 1700000000) * 1000000 + time[2]
local minute = 60000000
local after = {}
for i = 1, #KEYS do
  local full = tonumber(redis.call('GET', KEYS[i]) or now)
  -- Where the clock was set back, nobody waits for it to catch up.
  after[i] = math.min(math.max(full, now), now + minute) + minute / tonumber(ARGV[i])
  -- Rounding must not cost the last call.
  local short = after[i] - now - minute
  if short > 0.5 then return { i, math.ceil(short) } end
end
for i = 1, #KEYS do
  redis.call('SET', KEYS[i], string.format('%.17g', after[i]), 'PX', math.ceil((after[i] - now) / 1000))
end
return { 0, 0 }
`;

/**
 * `limit:{tenant}:…` is a hash here: for each instance how many are inside there, and until when that holds unless it
 * says so again. Says how many are inside at this instance, the newcomer included, unless there would be more than
 * the limit at all instances together in one of the rooms, which it answers, counted from 1. No limit: 0.
 */
const STAY = `
local time = redis.call('TIME')
local now = math.floor((time[1] * 1000000 + time[2]) / 1000)
local instance, ttl = ARGV[1], tonumber(ARGV[2])
for i = 1, #KEYS do
  local count, limit = tonumber(ARGV[1 + 2 * i]), tonumber(ARGV[2 + 2 * i])
  local fields = redis.call('HGETALL', KEYS[i])
  for f = 1, #fields, 2 do
    local inside, till = string.match(fields[f + 1], '(%d+) (%d+)')
    if tonumber(till) <= now then redis.call('HDEL', KEYS[i], fields[f])
    elseif fields[f] ~= instance then count = count + tonumber(inside) end
  end
  if limit > 0 and count > limit then return i end
end
for i = 1, #KEYS do
  local count = tonumber(ARGV[1 + 2 * i])
  if count == 0 then redis.call('HDEL', KEYS[i], instance)
  else
    redis.call('HSET', KEYS[i], instance, string.format('%d %.0f', count, now + ttl))
    redis.call('PEXPIRE', KEYS[i], ttl)
  end
end
return 0
`;

declare module 'ioredis' {
  interface RedisCommander<Context> {
    takeOne(key: string, perMinute: number): Result<[number, number], Context>;
    takeTwo(
      one: string,
      other: string,
      perMinute: number,
      ofOther: number,
    ): Result<[number, number], Context>;
    stayInOne(key: string, ...says: (string | number)[]): Result<number, Context>;
    stayInTwo(one: string, other: string, ...says: (string | number)[]): Result<number, Context>;
  }
}

/** How many are inside a room at this instance, and how many may be at all; 0: as many as there are. */
export type StreamLease = { readonly key: string; readonly count: number; readonly limit: number };

export type LimitCache = ReturnType<typeof createLimitCache>;

/** A call has one bucket or two, and a stream one room or two: of its user and of its tenant. */
export function createLimitCache(redis: RedisClient, instance: string, ttlMs: number) {
  redis.defineCommand('takeOne', { lua: TAKE, numberOfKeys: 1 });
  redis.defineCommand('takeTwo', { lua: TAKE, numberOfKeys: 2 });
  redis.defineCommand('stayInOne', { lua: STAY, numberOfKeys: 1 });
  redis.defineCommand('stayInTwo', { lua: STAY, numberOfKeys: 2 });
  return {
    /** Takes a call from each bucket or from none; the place of the one that is empty, and for how many ms. */
    async take([one, other]: readonly Bucket[]): Promise<{ index: number; waitMs: number } | undefined> {
      if (one === undefined) return undefined;
      const [place, micros] =
        other === undefined
          ? await redis.takeOne(toKey(one.key), one.perMinute)
          : await redis.takeTwo(toKey(one.key), toKey(other.key), one.perMinute, other.perMinute);
      return place === 0 ? undefined : { index: place - 1, waitMs: micros / 1000 };
    },

    /** Says how many are inside; the place of a room that would be too full, and then nothing was said. */
    async stay([one, other]: readonly StreamLease[]): Promise<number | undefined> {
      if (one === undefined) return undefined;
      const says = [instance, ttlMs, one.count, one.limit];
      const place =
        other === undefined
          ? await redis.stayInOne(toKey(one.key), ...says)
          : await redis.stayInTwo(toKey(one.key), toKey(other.key), ...says, other.count, other.limit);
      return place === 0 ? undefined : place - 1;
    },
  };
}

function toKey(key: string): string {
  return `limit:${key}`;
}
