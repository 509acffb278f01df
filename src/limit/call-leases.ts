import type { Bucket, LimitExceeded } from '../rpc/interceptors/rate-limit.ts';
import { lruCache } from '../rpc/lru.ts';
import type { Lease, LimitCache } from './cache.ts';

const MAX_KEYS = 100_000;
const MINUTE_MS = 60_000;
// A lease is for the calls of this time at the recent rate, and for at most twice as many as the last one was used for.
const LEASE_MS = 1_000;
const GROWTH = 2;
// The next lease is requested when this part of one is left.
const REFILL_PART = 4;

type Parts = {
  /** Of the calls that a bucket contains, those that this instance can hold. */
  readonly share: number;
  /** Takes a call from each bucket, or from none when one is empty, and leases more of those of which some are wanted. */
  readonly take: LimitCache['take'];
  readonly now: () => number;
};

/**
 * Takes calls from buckets in Redis, several at a time from those that are used frequently: this instance spends them
 * without a command. A leased call lapses when the bucket would contain it again without the lease, so in no time are there
 * more calls than the limit permits. Of a bucket, an instance holds at most the share; so much earlier can a call of
 * another instance be rejected.
 */
export class CallLeases {
  readonly #parts: Parts;
  readonly #leaseShare: number;
  readonly #reserves = lruCache<string, Reserve>(MAX_KEYS);

  constructor(parts: Parts) {
    this.#parts = parts;
    // A lease, and what is left of the one before.
    this.#leaseShare = parts.share / (1 + 1 / REFILL_PART);
  }

  /** Spends a leased call of each bucket, or of none when one has none left. */
  spend(buckets: readonly Bucket[]): boolean {
    const now = this.#parts.now();
    if (buckets.some((bucket) => this.#countOf(bucket, now) === 0)) return false;
    for (const { key } of buckets) this.#reserves.get(key)?.spend();
    return true;
  }

  /** Takes a call from each bucket, or from none when one is empty. */
  async take(buckets: readonly Bucket[]): Promise<LimitExceeded | undefined> {
    while (!this.spend(buckets)) {
      const exceeded = await this.#takeOnce(buckets);
      const bucket = buckets[exceeded?.index ?? -1];
      if (exceeded === undefined || bucket === undefined) return exceeded;
      // Another call may have leased some of the last ones.
      if (this.#countOf(bucket, this.#parts.now()) === 0) return exceeded;
    }
    return undefined;
  }

  /** Whether the next lease of a bucket should be requested, although calls are left. */
  isLow({ key }: Bucket): boolean {
    return this.#reserves.get(key)?.isLowAt(this.#parts.now()) ?? false;
  }

  /** Requests the next lease. */
  async refill(bucket: Bucket): Promise<void> {
    const now = this.#parts.now();
    const reserve = this.#reserveOf(bucket);
    const wanted = reserve?.request(now) ?? 0;
    if (reserve === undefined || wanted === 0) return;
    let lease: Lease | undefined;
    try {
      const taken = await this.#parts.take([bucket], [wanted], this.#leaseShare);
      if ('exceeded' in taken) return;
      const { calls = 0, startMs = 0 } = taken.leases[0] ?? {};
      // Together with the call that is taken in any case.
      lease = { calls: calls + 1, startMs: startMs - MINUTE_MS / bucket.perMinute };
    } finally {
      reserve.settle(now, lease);
    }
  }

  clear(): void {
    this.#reserves.clear();
  }

  /** Spends leased calls where there are some, and takes the others. */
  async #takeOnce(buckets: readonly Bucket[]): Promise<LimitExceeded | undefined> {
    const now = this.#parts.now();
    const missing = buckets.filter((bucket) => this.#countOf(bucket, now) === 0);
    const spent = buckets
      .filter((bucket) => !missing.includes(bucket))
      .map(({ key }) => this.#reserves.get(key)?.spend());
    const reserves = missing.map((bucket) => this.#reserveOf(bucket));
    const wanted = reserves.map((reserve) => reserve?.request(now) ?? 0);
    let leases: readonly Lease[] | undefined;
    try {
      const taken = await this.#parts.take(missing, wanted, this.#leaseShare);
      if ('leases' in taken) leases = taken.leases;
      else return inAll(buckets, missing, taken.exceeded);
      return undefined;
    } finally {
      for (const [index, reserve] of reserves.entries()) {
        if ((wanted[index] ?? 0) > 0) reserve?.settle(now, leases?.[index]);
        if (leases !== undefined) reserve?.countCall();
      }
      if (leases === undefined) for (const call of spent) call?.giveBack();
    }
  }

  #countOf({ key }: Bucket, now: number): number {
    return this.#reserves.get(key)?.countAt(now) ?? 0;
  }

  #reserveOf({ key, perMinute, burstMs, isLeased }: Bucket): Reserve | undefined {
    const most = Math.floor((this.#leaseShare * perMinute * burstMs) / MINUTE_MS);
    if (!isLeased || most < 1) return undefined;
    let reserve = this.#reserves.get(key);
    if (reserve === undefined) {
      reserve = new Reserve(MINUTE_MS / perMinute, most);
      this.#reserves.set(key, reserve);
    }
    return reserve;
  }
}

/** With the index in all buckets. */
function inAll(all: readonly Bucket[], some: readonly Bucket[], { index, waitMs }: LimitExceeded) {
  const exceeded = some[index];
  return { index: exceeded === undefined ? -1 : all.indexOf(exceeded), waitMs };
}

/** The leased calls of a bucket. */
class Reserve {
  readonly #callMs: number;
  readonly #most: number;
  /** `startMs`: until when its next call can be spent. */
  readonly #leases: { calls: number; startMs: number }[] = [];
  /** Calls that were left after the last request. */
  #size = 0;
  #usedSinceRequest = 0;
  #requestedMs = Number.NEGATIVE_INFINITY;
  #isRequesting = false;

  constructor(callMs: number, most: number) {
    this.#callMs = callMs;
    this.#most = most;
  }

  countAt(now: number): number {
    let count = 0;
    for (const lease of this.#leases) {
      const lapsed = Math.min(Math.max(0, Math.ceil((now - lease.startMs) / this.#callMs)), lease.calls);
      lease.calls -= lapsed;
      lease.startMs += lapsed * this.#callMs;
      count += lease.calls;
    }
    while (this.#leases[0]?.calls === 0) this.#leases.shift();
    return count;
  }

  /** Spends the oldest call. `countAt` was not 0. */
  spend(): { giveBack(): void } {
    const lease = this.#leases.find(({ calls }) => calls > 0);
    if (lease === undefined) throw new RangeError('no call is left');
    const { startMs } = lease;
    lease.calls -= 1;
    lease.startMs += this.#callMs;
    this.countCall();
    return { giveBack: () => void this.#leases.unshift({ calls: 1, startMs }) };
  }

  countCall(): void {
    this.#usedSinceRequest += 1;
  }

  isLowAt(now: number): boolean {
    if (this.#isRequesting) return false;
    const count = this.countAt(now);
    return count > 0 && count * REFILL_PART <= this.#size;
  }

  /** How many calls to lease; 0 while enough are left. */
  request(now: number): number {
    const count = this.countAt(now);
    if (this.#isRequesting || count * REFILL_PART > this.#size) return 0;
    const used = this.#usedSinceRequest;
    const perLease = (used * LEASE_MS) / Math.max(1, now - this.#requestedMs);
    const size = Math.floor(Math.min(perLease, GROWTH * used, this.#most));
    this.#requestedMs = now;
    this.#usedSinceRequest = 0;
    this.#isRequesting = size > count;
    return Math.max(0, size - count);
  }

  /** `lease`: what was leased at `now` or later; its `startMs` is relative. */
  settle(now: number, lease: Lease | undefined): void {
    this.#isRequesting = false;
    if (lease !== undefined) this.#leases.push({ calls: lease.calls, startMs: now + lease.startMs });
    this.#size = this.countAt(now);
  }
}
