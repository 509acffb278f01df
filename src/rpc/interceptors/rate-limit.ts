import { getOption } from '@bufbuild/protobuf';
import { Quota, quota as quotaOption } from '#gen/serp/discuss/v1/options_pb.ts';
import type { Config } from '../../config.ts';
import type { Caller } from '../call.ts';
import type { CallContext } from '../call-context.ts';
import { errors } from '../errors.ts';
import type { Interceptor } from '../interceptor.ts';

/** A minute's worth of calls: this many may come at once, and it fills evenly. */
export type Bucket = {
  /** `{tenant}:…`: what has the same tenant can be asked for together. */
  readonly key: string;
  readonly perMinute: number;
  readonly quota: QuotaText;
};

/** Where only so many may be at a time. */
export type ConcurrencyLimit = { readonly key: string; readonly limit: number; readonly quota: QuotaText };

/** The place of the bucket or room that has nothing left, and how long it will have nothing. */
export type LimitExceeded = { readonly index: number; readonly waitMs: number };

export type Limiter = {
  /** Takes one call from each bucket, or from none when one of them is empty. */
  take(buckets: readonly Bucket[]): LimitExceeded | undefined | Promise<LimitExceeded | undefined>;
  /** Enters all rooms, or none when one of them is full; the function answered leaves them again. */
  enter(rooms: readonly ConcurrencyLimit[]): Promise<LimitExceeded | (() => void)>;
};

/** What clients are told of a quota that was used up. */
type QuotaText = { readonly subject: string; readonly description: string };

/**
 * Holds callers to their quota: a bucket of calls per user and kind (reads, writes, searches) and one per tenant, and
 * numbers of streams at a time per user and per tenant. A service that acts for a user draws on that user's buckets,
 * the same the user draws on directly: users have one allowance whichever front end they come through, and a service
 * cannot be used to get round it. Calls by services and operators for nobody count for their tenant alone; their
 * streams count together as those of one user.
 * A limit of 0 is off.
 */
export function rateLimit(limiter: Limiter, config: Config['limits']): Interceptor {
  return (method, next) => {
    const quota = getOption(method, quotaOption);
    const counted = async (call: CallContext) => {
      const buckets = toBuckets(call.caller, quota, config);
      const shortage = buckets.length === 0 ? undefined : await limiter.take(buckets);
      if (shortage !== undefined) throw exceeded(buckets[shortage.index], shortage);
      return next(call);
    };
    if (quota !== Quota.STREAM) return counted;
    return async (call) => {
      const rooms = toRooms(call.caller, config);
      if (rooms.length === 0) return counted(call);
      const entered = await limiter.enter(rooms);
      if (typeof entered !== 'function') throw exceeded(rooms[entered.index], entered);
      try {
        return await counted(call);
      } finally {
        entered();
      }
    };
  };
}

const plurals = { read: 'reads', write: 'writes', search: 'searches' } as const;

function toBuckets(caller: Caller, quota: Quota, config: Config['limits']): Bucket[] {
  const { tenantId, userId } = caller;
  const buckets: Bucket[] = [];
  const [kind, perMinute] = toKind(quota, config);
  if (quota !== Quota.STREAM && userId > 0n && perMinute > 0) {
    const description = `${perMinute} ${plurals[kind]} per minute and user`;
    buckets.push({
      key: `{${tenantId}}:${kind}:${userId}`,
      perMinute,
      quota: { subject: `user:${userId}`, description },
    });
  }
  if (tenantId > 0n && config.tenantPerMinute > 0) {
    const description = `${config.tenantPerMinute} calls per minute and tenant`;
    const subject = `tenant:${tenantId}`;
    buckets.push({
      key: `{${tenantId}}:calls`,
      perMinute: config.tenantPerMinute,
      quota: { subject, description },
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
    default:
      return ['read', config.readPerMinute];
  }
}

function toRooms({ tenantId, userId }: Caller, config: Config['limits']): ConcurrencyLimit[] {
  const rooms: ConcurrencyLimit[] = [];
  if (config.streamsPerUser > 0) {
    const description = `${config.streamsPerUser} streams at a time and user`;
    const quota = { subject: `user:${userId}`, description };
    rooms.push({ key: `{${tenantId}}:streams:${userId}`, limit: config.streamsPerUser, quota });
  }
  if (config.streamsPerTenant > 0 && tenantId > 0n) {
    const description = `${config.streamsPerTenant} streams at a time and tenant`;
    const quota = { subject: `tenant:${tenantId}`, description };
    rooms.push({ key: `{${tenantId}}:streams`, limit: config.streamsPerTenant, quota });
  }
  return rooms;
}

function exceeded(limit: Bucket | ConcurrencyLimit | undefined, { waitMs }: LimitExceeded): Error {
  const { subject = '', description = '' } = limit?.quota ?? {};
  return errors.rateLimited(subject, description, waitMs);
}
