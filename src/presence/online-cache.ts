import type { Result } from 'ioredis';
import type { Config } from '../config.ts';
import type { RedisClient } from '../redis/client.ts';
import { runScript } from '../redis/script.ts';

// Ids of one command, and tenants asked at a time.
const AT_ONCE = 1_000;
const TENANTS = 'online_tenants';
const SWEEPER = 'online_tenants:sweeper';
const ONLINE_USERS = 'stats:online_users';

/**
 * `online_users:<tenant>` holds who is there for others, by when that may change by itself: it counts them, finds
 * those of a channel, and those whose time has come. Written a moment after the users' own hashes, so a removal must
 * not hit somebody who has come back since: it names the latest time the user had before.
 */
const MARK = `
for i = 2, #ARGV, 2 do
  local user, time = ARGV[i], tonumber(ARGV[i + 1])
  if time > 0 then
    redis.call('ZADD', KEYS[1], time, user)
  else
    local at = redis.call('ZSCORE', KEYS[1], user)
    if at and tonumber(at) <= -time then redis.call('ZREM', KEYS[1], user) end
  end
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
`;

// Who took them and died has others do it when the lease is over.
const CLAIM = `
local time = redis.call('TIME')
local now = math.floor((time[1] * 1000000 + time[2]) / 1000)
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])
for _, user in ipairs(due) do redis.call('ZADD', KEYS[1], now + ARGV[2], user) end
return { tostring(redis.call('ZCARD', KEYS[1])), unpack(due) }
`;

declare module 'ioredis' {
  interface RedisCommander<Context> {
    markOnline(key: string, ...args: (string | number)[]): Result<null, Context>;
    claimOnline(key: string, limit: number, leaseMs: number): Result<string[], Context>;
  }
}

/** When a user's presence may change by itself; negative: the user is not there, and was not to change later than that. */
export type Mark = { readonly userId: bigint; readonly time: number };

export type OnlineCache = ReturnType<typeof createOnlineCache>;

export function createOnlineCache(redis: RedisClient, config: Config['presence']) {
  redis.defineCommand('markOnline', { lua: MARK, numberOfKeys: 1 });
  redis.defineCommand('claimOnline', { lua: CLAIM, numberOfKeys: 1 });
  return {
    async mark(tenantId: bigint, marks: readonly Mark[]): Promise<void> {
      for (const some of chunks(marks)) {
        const args = some.flatMap(({ userId, time }) => [`${userId}`, time]);
        await runScript(() => redis.markOnline(tenantKey(tenantId), config.ttlMs, ...args));
      }
    },

    /** Notes which tenants have users to look after, for the TTL from now. */
    async noteTenants(tenantIds: readonly bigint[], now: number): Promise<void> {
      if (tenantIds.length === 0) return;
      await redis.zadd(TENANTS, ...tenantIds.flatMap((tenantId) => [`${now}`, `${tenantId}`]));
      await redis.pexpire(TENANTS, 2 * config.ttlMs);
    },

    /** Those of the users who are there; who became so a moment ago may be missing. */
    async filter(tenantId: bigint, userIds: readonly bigint[]): Promise<Set<bigint>> {
      const found = await Promise.all(
        [...chunks(userIds)].map(async (some) => {
          const times = await redis.zmscore(tenantKey(tenantId), ...some.map(String));
          return some.filter((_, index) => typeof times[index] === 'string');
        }),
      );
      return new Set(found.flat());
    },

    count(tenantId: bigint): Promise<number> {
      return redis.zcard(tenantKey(tenantId));
    },

    /** True for one caller, over all instances, in a period. */
    async mayLead(instance: string, periodMs: number): Promise<boolean> {
      return (await redis.set(SWEEPER, instance, 'PX', periodMs, 'NX')) === 'OK';
    },

    /** Tenants with users, without those that have had none for the TTL. */
    async listTenants(now: number): Promise<bigint[]> {
      await redis.zremrangebyscore(TENANTS, '-inf', `${now - config.ttlMs}`);
      return (await redis.zrange(TENANTS, '0', '-1')).map(BigInt);
    },

    /** Users whose time has come, each given to one caller, and how many of the tenant there are. */
    async claim(tenantId: bigint): Promise<{ readonly online: number; readonly due: readonly bigint[] }> {
      const [online = '0', ...due] = await runScript(() =>
        redis.claimOnline(tenantKey(tenantId), AT_ONCE, Math.ceil(config.deviceTtlMs / 2)),
      );
      return { online: Number(online), due: due.map(BigInt) };
    },

    /** The customer's number of users online, of all tenants. */
    async setTotal(online: number): Promise<void> {
      await redis.set(ONLINE_USERS, online, 'EX', 60);
    },
  };
}

/** Users of a page or a round that one command or statement takes. */
export function* chunks<T>(items: readonly T[]): Generator<readonly T[]> {
  for (let from = 0; from < items.length; from += AT_ONCE) yield items.slice(from, from + AT_ONCE);
}

function tenantKey(tenantId: bigint): string {
  return `online_users:${tenantId}`;
}
