import type { RedisClient } from '../redis/client.ts';
import { callScript, loadScript } from '../redis/script.ts';
import type { Bucket, LimitExceeded } from '../rpc/interceptors/rate-limit.ts';

const takeCalls = loadScript(import.meta.dirname, 'take-calls');
const leaseStreams = loadScript(import.meta.dirname, 'lease-streams');

/** How many streams this instance has open under a limit. `limit` is that of all instances together; 0: none. */
export type StreamLease = { readonly key: string; readonly count: number; readonly limit: number };

export type LimitCache = ReturnType<typeof createLimitCache>;

/** Calls that were taken in advance, and in how many ms the first of them lapses; the others each a call's time later. */
export type Lease = { readonly calls: number; readonly startMs: number };

/** The lease of each bucket, or which one is empty. */
export type Taken = { readonly leases: readonly Lease[] } | { readonly exceeded: LimitExceeded };

/** The keys `limit:{tenant}:…`. Those of one call belong to one tenant, so a cluster has them on one node. */
export function createLimitCache(redis: RedisClient, instance: string, leaseMs: number) {
  return {
    /**
     * Takes a call from each bucket, or from none when one is empty, and leases more of those of which some are `wanted`, up to
     * `share` of what they contain.
     */
    async take(buckets: readonly Bucket[], wanted: readonly number[], share: number): Promise<Taken> {
      const counts = buckets.flatMap(({ perMinute, burstMs }, index) => [
        perMinute,
        burstMs,
        wanted[index] ?? 0,
      ]);
      const reply = await callScript(redis, takeCalls, buckets.map(toKey), share, ...counts);
      const position = reply.number('exceeded');
      if (position > 0) return { exceeded: { index: position - 1, waitMs: reply.number('wait_us') / 1000 } };
      return { leases: toLeases(reply.texts('leases')) };
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

function toLeases(numbers: readonly string[]): Lease[] {
  const leases: Lease[] = [];
  for (let at = 0; at < numbers.length; at += 2)
    leases.push({ calls: Number(numbers[at]), startMs: Number(numbers[at + 1]) / 1000 });
  return leases;
}

function toKey({ key }: { readonly key: string }): string {
  return `limit:${key}`;
}
