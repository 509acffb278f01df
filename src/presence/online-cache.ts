import type { Config } from '../config.ts';
import type { RedisClient } from '../redis/client.ts';
import { callScript, loadScript } from '../redis/script.ts';

const updateOnline = loadScript(import.meta.dirname, 'update-online');
const claimExpired = loadScript(import.meta.dirname, 'claim-expired');

const BATCH_SIZE = 1_000;
const TENANTS = 'online_tenants';
const POLLER_LEASE = 'online_tenants:poller';
const ONLINE_USERS = 'stats:online_users';

/** When a user's presence may change by itself; negative: the user is offline, and was not to change later than that. */
export type OnlineEntry = { readonly userId: bigint; readonly time: number };

export type OnlineCache = ReturnType<typeof createOnlineCache>;

/**
 * The online users of each tenant: counts them, finds those among the members of a channel, and finds those whose
 * presence may have expired. It is updated shortly after the users' own hashes.
 */
export function createOnlineCache(redis: RedisClient, config: Config['presence']) {
  return {
    async update(tenantId: bigint, entries: readonly OnlineEntry[]): Promise<void> {
      for (const batch of batches(entries)) {
        const args = batch.flatMap(({ userId, time }) => [`${userId}`, time]);
        await callScript(redis, updateOnline, [tenantKey(tenantId)], config.ttlMs, ...args);
      }
    },

    /** Adds tenants that have online users; each is kept for the TTL from `now`. */
    async addTenants(tenantIds: readonly bigint[], now: number): Promise<void> {
      if (tenantIds.length === 0) return;
      await redis.zadd(TENANTS, ...tenantIds.flatMap((tenantId) => [`${now}`, `${tenantId}`]));
      await redis.pexpire(TENANTS, 2 * config.ttlMs);
    },

    /** The users that are online; one that came online within the last second may be missing. */
    async filter(tenantId: bigint, userIds: readonly bigint[]): Promise<Set<bigint>> {
      const found = await Promise.all(
        [...batches(userIds)].map(async (batch) => {
          const times = await redis.zmscore(tenantKey(tenantId), ...batch.map(String));
          return batch.filter((_, index) => typeof times[index] === 'string');
        }),
      );
      return new Set(found.flat());
    },

    count(tenantId: bigint): Promise<number> {
      return redis.zcard(tenantKey(tenantId));
    },

    /** True for one instance in each period. */
    async acquirePollerLease(instance: string, periodMs: number): Promise<boolean> {
      return (await redis.set(POLLER_LEASE, instance, 'PX', periodMs, 'NX')) === 'OK';
    },

    /** Tenants that had online users within the TTL. */
    async listTenants(now: number): Promise<bigint[]> {
      await redis.zremrangebyscore(TENANTS, '-inf', `${now - config.ttlMs}`);
      return (await redis.zrange(TENANTS, '0', '-1')).map(BigInt);
    },

    /** Users whose presence may have expired, each for one caller, and the number of online users of the tenant. */
    async claimExpired(
      tenantId: bigint,
    ): Promise<{ readonly online: number; readonly expired: readonly bigint[] }> {
      const leaseMs = Math.ceil(config.deviceTtlMs / 2);
      const reply = await callScript(redis, claimExpired, [tenantKey(tenantId)], BATCH_SIZE, leaseMs);
      return { online: reply.number('online'), expired: reply.texts('expired').map(BigInt) };
    },

    /** Sets the customer's key with the number of online users of all tenants. */
    async setTotal(online: number): Promise<void> {
      await redis.set(ONLINE_USERS, online, 'EX', 60);
    },
  };
}

/** Splits a list into batches for one command or statement each. */
export function* batches<T>(items: readonly T[]): Generator<readonly T[]> {
  for (let from = 0; from < items.length; from += BATCH_SIZE) yield items.slice(from, from + BATCH_SIZE);
}

function tenantKey(tenantId: bigint): string {
  return `online_users:${tenantId}`;
}
