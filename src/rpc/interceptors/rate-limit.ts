import { getOption } from '@bufbuild/protobuf';
import { Quota, quota as quotaOption } from '#gen/serp/discuss/v1/options_pb.ts';
import type { Config } from '../../config.ts';
import type { Caller } from '../call.ts';
import type { CallContext } from '../call-context.ts';
import { errors, type QuotaText } from '../errors.ts';
import type { Interceptor } from '../interceptor.ts';

/** A bucket that refills evenly with `perMinute` calls, and holds those of `burstMs`, but at least one. */
export type Bucket = {
  /** `{tenant}:…`: the hash tag puts the keys of one tenant on one node of a Redis Cluster. */
  readonly key: string;
  readonly perMinute: number;
  readonly burstMs: number;
  /** Whether an instance may take calls in advance. */
  readonly isLeased: boolean;
  readonly quota: QuotaText;
};

/** How many streams may be open at a time. */
export type ConcurrencyLimit = { readonly key: string; readonly limit: number; readonly quota: QuotaText };

/** Index of the bucket or limit that was exceeded, and when a retry can succeed. */
export type LimitExceeded = { readonly index: number; readonly waitMs: number };

export type Limiter = {
  /** Takes one call from each bucket, or from none when one of them is empty. */
  take(buckets: readonly Bucket[]): LimitExceeded | undefined | Promise<LimitExceeded | undefined>;
  /** Counts one more under each limit, or under none when one is reached. Call the returned function to release. */
  acquire(limits: readonly ConcurrencyLimit[]): Promise<LimitExceeded | (() => void)>;
};

/**
 * Enforces the quotas: calls per minute by user and kind (read, write, search, opened stream) and by tenant, and
 * concurrent streams by user and by tenant. Every call of a user takes from a bucket of the user before the tenant's,
 * so that no user exhausts the tenant's quota. A user can make the calls of a minute at once; a tenant, only those of a few
 * seconds, because those of a minute would delay all other tenants. A call that a service makes for a user counts against the user's own
 * quota, so that a user cannot gain calls through a second front end. Calls of services and operators without a user
 * count against the tenant's quota only; their streams count together, as if of one user. A limit of 0 is off.
 */
export function rateLimit(limiter: Limiter, config: Config['limits']): Interceptor {
  return (method, next) => {
    const quota = getOption(method, quotaOption);
    const counted = async (call: CallContext) => {
      const buckets = toBuckets(call.caller, quota, config);
      const exceeded = buckets.length === 0 ? undefined : await limiter.take(buckets);
      if (exceeded !== undefined) throw rateLimited(buckets[exceeded.index], exceeded);
      return next(call);
    };
    if (quota !== Quota.STREAM) return counted;
    return async (call) => {
      const limits = toConcurrencyLimits(call.caller, config);
      if (limits.length === 0) return counted(call);
      const acquired = await limiter.acquire(limits);
      if (typeof acquired !== 'function') throw rateLimited(limits[acquired.index], acquired);
      try {
        return await counted(call);
      } finally {
        acquired();
      }
    };
  };
}

const MINUTE_MS = 60_000;

const plurals = { read: 'reads', write: 'writes', search: 'searches', open: 'opened streams' } as const;

function toBuckets(caller: Caller, quota: Quota, config: Config['limits']): Bucket[] {
  const { tenantId, userId } = caller;
  const buckets: Bucket[] = [];
  const [kind, perMinute] = toKind(quota, config);
  if ((userId > 0n || quota === Quota.STREAM) && perMinute > 0) {
    const description = `${perMinute} ${plurals[kind]} per minute and user`;
    buckets.push({
      key: `{${tenantId}}:${kind}:${userId}`,
      perMinute,
      burstMs: MINUTE_MS,
      isLeased: true,
      quota: { subject: `user:${userId}`, limit: perMinute, description },
    });
  }
  if (tenantId > 0n && config.tenantPerMinute > 0) {
    const description = `${config.tenantPerMinute} calls per minute and tenant`;
    const subject = `tenant:${tenantId}`;
    buckets.push({
      key: `{${tenantId}}:calls`,
      perMinute: config.tenantPerMinute,
      burstMs: config.tenantBurstMs,
      isLeased: true,
      quota: { subject, limit: config.tenantPerMinute, description },
    });
  }
  return buckets;
}

function toKind(quota: Quota, config: Config['limits']): [kind: keyof typeof plurals, perMinute: number] {
  switch (quota) {
    case Quota.WRITE:
      return ['write', config.sendPerMinute];
    case Quota.SEARCH:
      return ['search', config.searchPerMinute];
    case Quota.STREAM:
      return ['open', config.streamOpensPerMinute];
    default:
      return ['read', config.readPerMinute];
  }
}

function toConcurrencyLimits({ tenantId, userId }: Caller, config: Config['limits']): ConcurrencyLimit[] {
  const limits: ConcurrencyLimit[] = [];
  if (config.streamsPerUser > 0) {
    const description = `${config.streamsPerUser} streams at a time and user`;
    const limit = config.streamsPerUser;
    const quota = { subject: `user:${userId}`, limit, description };
    limits.push({ key: `{${tenantId}}:streams:${userId}`, limit, quota });
  }
  if (config.streamsPerTenant > 0 && tenantId > 0n) {
    const description = `${config.streamsPerTenant} streams at a time and tenant`;
    const limit = config.streamsPerTenant;
    const quota = { subject: `tenant:${tenantId}`, limit, description };
    limits.push({ key: `{${tenantId}}:streams`, limit, quota });
  }
  return limits;
}

function rateLimited(limit: Bucket | ConcurrencyLimit | undefined, { waitMs }: LimitExceeded): Error {
  return errors.rateLimited(limit?.quota ?? { subject: '', limit: 0, description: '' }, waitMs);
}
