import { getOption } from '@bufbuild/protobuf';
import { LRUCache } from 'lru-cache';
import { Quota, quota as quotaOption } from '#gen/serp/discuss/v1/options_pb.ts';
import type { Config } from '../config.ts';
import type { Caller } from './call.ts';
import { refuse } from './errors.ts';
import type { RunningCall } from './running-call.ts';
import type { Surrounding } from './surroundings.ts';

/** Takes one call from the bucket `key`: 0 when it was there, else the ms until there will be one. */
export type Limiter = (key: string, perMinute: number) => number | Promise<number>;

// Buckets kept at most. One forgotten is a full one, which only matters with more active callers than this.
const maxBuckets = 100_000;

/**
 * Holds callers to their quota: a bucket of calls per user and kind (reads, writes, searches) and one per tenant, and a
 * number of streams at a time per user. A service that acts for a user draws on that user's buckets, the same
 * the user draws on directly: users have one allowance whichever front end they come through, and a service
 * cannot be used to get round it. Calls by services and operators for nobody count for their tenant alone.
 * A limit of 0 is off.
 */
export function limits(take: Limiter, config: Config['limits']): Surrounding {
  const streams = new Map<string, number>();
  return (method, next) => {
    const quota = getOption(method, quotaOption);
    const [kind, rate] = toBucket(quota, config);
    const counted = async (call: RunningCall) => {
      const { caller } = call;
      if (quota !== Quota.STREAM && caller.userId > 0n)
        await draw(take, `${kind}:${userKey(caller)}`, rate, `${plurals[kind]} per minute and user`);
      if (caller.tenantId > 0n)
        await draw(take, `tenant:${caller.tenantId}`, config.tenantPerMinute, 'calls per minute and tenant');
      return next(call);
    };
    if (quota !== Quota.STREAM || config.streamsPerUser === 0) return counted;
    return async (call) => {
      const release = occupy(streams, userKey(call.caller), config.streamsPerUser);
      try {
        return await counted(call);
      } finally {
        release();
      }
    };
  };
}

/**
 * Token buckets in this process's memory: each holds a minute's worth of calls, so that this many may come at
 * once, and fills evenly.
 */
export function createLimiter(now: () => number): Limiter {
  const buckets = new LRUCache<string, { calls: number; at: number }>({ max: maxBuckets });
  return (key, perMinute) => {
    const perMs = perMinute / 60_000;
    const at = now();
    const bucket = buckets.get(key) ?? { calls: perMinute, at };
    bucket.calls = Math.min(perMinute, bucket.calls + Math.max(0, at - bucket.at) * perMs);
    bucket.at = at;
    buckets.set(key, bucket);
    if (bucket.calls < 1) return (1 - bucket.calls) / perMs;
    bucket.calls -= 1;
    return 0;
  };
}

type Kind = keyof typeof plurals;

const plurals = { read: 'reads', write: 'writes', search: 'searches' } as const;

function toBucket(quota: Quota, config: Config['limits']): [kind: Kind, perMinute: number] {
  switch (quota) {
    case Quota.WRITE:
      return ['write', config.sendPerMinute];
    case Quota.SEARCH:
      return ['search', config.searchPerMinute];
    default:
      return ['read', config.readPerMinute];
  }
}

async function draw(take: Limiter, key: string, perMinute: number, limit: string): Promise<void> {
  if (perMinute === 0) return;
  const waitMs = await take(key, perMinute);
  if (waitMs > 0) throw refuse.rateLimited(key, `${perMinute} ${limit}`, waitMs);
}

function occupy(streams: Map<string, number>, key: string, limit: number): () => void {
  const open = streams.get(key) ?? 0;
  if (open >= limit) throw refuse.rateLimited(`streams:${key}`, `${limit} streams at a time and user`, 1_000);
  streams.set(key, open + 1);
  return () => {
    const left = (streams.get(key) ?? 1) - 1;
    if (left === 0) streams.delete(key);
    else streams.set(key, left);
  };
}

function userKey(caller: Caller): string {
  return `${caller.tenantId}:${caller.userId}`;
}
