import { LRUCache } from 'lru-cache';
import type { Pool } from '../../db/types.ts';
import type { DataKeys } from '../../encryption/data-keys.ts';
import type { Frame } from '../../rpc/frame.ts';
import { openEvents } from '../log/encrypted.ts';
import { listEvents, type PageLimits } from '../log/sql.ts';
import { toEventFrame } from '../log/wire.ts';

/** Consecutive events of a channel's log, encoded for streams. */
export type Page = {
  /** `seq` of the first frame; 0n when there is none. */
  readonly first: bigint;
  readonly frames: readonly Frame[];
  /** Whether it ended at a limit, and not at the head of the log. */
  readonly isFull: boolean;
};

const CACHED_BYTES = 33_554_432;

/**
 * Reads the log for streams that catch up. Streams that resume together need the same pages, so each page is read
 * and encoded once for all of them.
 */
export class Backlog {
  readonly #pool: Pool;
  readonly #limits: PageLimits;
  readonly #keys: DataKeys;
  readonly #reading = new Map<string, Promise<Page>>();
  // Only full pages are cached: a page that ends at the head of the log grows, the others change by deletions alone.
  readonly #full = new LRUCache<string, Page>({
    maxSize: CACHED_BYTES,
    sizeCalculation: ({ frames }) => frames.reduce((sum, frame) => sum + frame.binary.length + 200, 1),
    ttl: 60_000,
    // Otherwise expired pages would stay until others need their space.
    ttlAutopurge: true,
  });

  constructor(pool: Pool, limits: PageLimits, keys: DataKeys) {
    this.#pool = pool;
    this.#keys = keys;
    this.#limits = limits;
  }

  /** Up to a page of events after a `seq`; none when the log ends there. */
  async read(channelId: bigint, after: bigint): Promise<Page> {
    const key = `${channelId}:${after}`;
    const cached = this.#full.get(key) ?? this.#reading.get(key);
    if (cached !== undefined) return cached;
    const reading = this.#load(channelId, after);
    this.#reading.set(key, reading);
    try {
      const page = await reading;
      const isCurrent = this.#reading.get(key) === reading;
      if (isCurrent && page.isFull) this.#full.set(key, page);
      return page;
    } finally {
      if (this.#reading.get(key) === reading) this.#reading.delete(key);
    }
  }

  /** Drops the cached pages of a channel, because a deletion changed events in its log. */
  invalidate(channelId: bigint): void {
    const prefix = `${channelId}:`;
    for (const key of this.#full.keys()) if (key.startsWith(prefix)) this.#full.delete(key);
    for (const key of this.#reading.keys()) if (key.startsWith(prefix)) this.#reading.delete(key);
  }

  /** Drops all cached pages. */
  clear(): void {
    this.#full.clear();
    this.#reading.clear();
  }

  async #load(channelId: bigint, after: bigint): Promise<Page> {
    const rows = await listEvents(this.#pool, channelId, after, this.#limits);
    const bytes = rows.reduce((sum, { payload }) => sum + payload.length, 0);
    const opened = await openEvents(this.#keys, rows);
    return {
      first: rows[0]?.seq ?? 0n,
      frames: opened.map(({ payload }) => toEventFrame(payload)),
      isFull: rows.length === this.#limits.events || bytes >= this.#limits.bytes,
    };
  }
}
