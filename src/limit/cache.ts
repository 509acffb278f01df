import type { RedisClient } from '../redis/client.ts';
import { callScript, loadScript } from '../redis/script.ts';
import type { Bucket, LimitExceeded } from '../rpc/interceptors/rate-limit.ts';

const takeCalls = loadScript(import.meta.dirname, 'take-calls');
const leaseStreams = loadScript(import.meta.dirname, 'lease-streams');

/** How many streams this instance has open under a limit. `limit` is that of all instances together; 0: none. */
export type StreamLease = { readonly key: string; readonly count: number; readonly limit: number };

export type LimitCache = ReturnType<typeof createLimitCache>;

/** The keys `limit:{tenant}:…`. Those of one call belong to one tenant, so a cluster has them on one node. */
export function createLimitCache(redis: RedisClient, instance: string, leaseMs: number) {
  return {
    /** Takes a call from each bucket, or from none when one is empty. */
    async take(buckets: readonly Bucket[]): Promise<LimitExceeded | undefined> {
      const rates = buckets.flatMap(({ perMinute, burstMs }) => [perMinute, burstMs]);
      const reply = await callScript(redis, takeCalls, buckets.map(toKey), ...rates);
      const position = reply.number('exceeded');
      return position === 0 ? undefined : { index: position - 1, waitMs: reply.number('wait_us') / 1000 };
    },

    /** Renews leases, or none of them when a limit is exceeded: then returns its index. */
    async renew(leases: readonly StreamLease[]): Promise<number | undefined> {
      const counts = leases.flatMap(({ count, limit }) => [count, limit]);
      const reply = await callScript(redis, leaseStreams, leases.map(toKey), instance, leaseMs, ...counts);
      const position = reply.number('exceeded');
      return position === 0 ? undefined : position - 1;
    },
  };
}

function toKey({ key }: { readonly key: string }): string {
  return `limit:${key}`;
}
