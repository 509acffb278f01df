import type { Result } from 'ioredis';
import type { Config } from '../config.ts';
import type { RedisClient } from '../redis/client.ts';
import { runScript } from '../redis/script.ts';

/**
 * `typing:{channel}` is the customer's set of who types, which can only end as a whole. `{typing:<channel>}:until` has
 * for each typist `<until> <when others were told last> <until when they were told>`, so that each ends alone in a
 * channel where somebody always types, and others are not told too often. Who stopped is kept there until that is long
 * enough ago.
 *
 * Answers until when the user types, and whether others are to be told.
 */
const TYPING = `
local user, ttl, every, starts = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4] == '1'
local time = redis.call('TIME')
local now = math.floor((time[1] * 1000000 + time[2]) / 1000)
local told, known = 0, 0
local fields = redis.call('HGETALL', KEYS[2])
for i = 1, #fields, 2 do
  local typist, till, at, said = fields[i], string.match(fields[i + 1], '^(%d+) (%d+) (%d+)$')
  if typist == user then
    told, known = tonumber(at), tonumber(said)
  elseif tonumber(till) <= now then
    redis.call('SREM', KEYS[1], typist)
    if tonumber(at) + every <= now then redis.call('HDEL', KEYS[2], typist) end
  end
end
local till, tells = 0, known > now
if starts then
  till, tells = now + ttl, told + every <= now
  redis.call('SADD', KEYS[1], user)
  redis.call('PEXPIRE', KEYS[1], ttl)
  if tells then told, known = now, till end
else
  redis.call('SREM', KEYS[1], user)
  known = 0
end
if told > 0 then
  redis.call('HSET', KEYS[2], user, string.format('%.0f %.0f %.0f', till, told, known))
  redis.call('PEXPIRE', KEYS[2], math.max(ttl, every))
end
return { string.format('%.0f', till), tells and '1' or '0' }
`;

declare module 'ioredis' {
  interface RedisCommander<Context> {
    changeTyping(
      key: string,
      untilKey: string,
      userId: string,
      ttlMs: number,
      everyMs: number,
      starts: string,
    ): Result<[string, string], Context>;
  }
}

export type TypingCache = ReturnType<typeof createTypingCache>;

export function createTypingCache(redis: RedisClient, { ttlMs, intervalMs }: Config['typing']) {
  redis.defineCommand('changeTyping', { lua: TYPING, numberOfKeys: 2 });
  return {
    /** Notes that a user types, or stopped; `until` is 0 then. */
    async change(channelId: bigint, userId: bigint, starts: boolean) {
      const [until, isTold] = await runScript(() =>
        redis.changeTyping(
          `typing:${channelId}`,
          `{typing:${channelId}}:until`,
          `${userId}`,
          ttlMs,
          intervalMs,
          starts ? '1' : '0',
        ),
      );
      return { until: Number(until), isTold: isTold === '1' };
    },
  };
}
