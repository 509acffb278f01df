import type { Logger } from 'pino';
import type { Config } from '../../config.ts';
import type { Pool } from '../../db/types.ts';
import type { Call, Sink } from '../../rpc/call.ts';
import { errors } from '../../rpc/errors.ts';
import type { Metrics } from '../../telemetry/metrics.ts';
import type { Position } from './cursor.ts';
import { type TenantStreamPage, toPage } from './page.ts';
import { readTenantEvents, type TenantStreamFilter } from './sql.ts';
import { TenantStream } from './tenant-stream.ts';

// Between two waves of reads: under load a wave takes what has gathered.
const WAVE_MS = 20;

/** What a feed is of, and where it begins. */
export type TenantStreamRequest = {
  readonly filter: TenantStreamFilter;
  readonly from: Position | 'now' | 'oldest';
};

/**
 * Serves the log of all tenants to services. Each feed reads the log by itself, from its own place; feeds of the
 * same kind that have read all there is are woken together, stand at the same place, and share a read.
 */
export class TenantStreams {
  readonly #config: Config['event'];
  readonly #pool: Pool;
  readonly #log: Logger;
  readonly #metrics: Metrics;
  readonly #now: () => number;
  readonly #reading = new Map<string, Promise<TenantStreamPage>>();
  readonly #waiting = new Set<() => void>();
  #open = 0;
  #heard = 0;
  #wave: NodeJS.Timeout | undefined;
  #lastWave = 0;

  constructor(parts: { config: Config; pool: Pool; log: Logger; metrics: Metrics; now: () => number }) {
    this.#config = parts.config.event;
    this.#pool = parts.pool;
    this.#log = parts.log.child({ part: 'feeds' });
    this.#metrics = parts.metrics;
    this.#now = parts.now;
  }

  /** How often something was heard to be committed. */
  get heard(): number {
    return this.#heard;
  }

  /** Runs a feed until its call ends. */
  async serve({ filter, from }: TenantStreamRequest, call: Call, sink: Sink): Promise<void> {
    if (this.#open >= this.#config.feeds) throw errors.overloaded('feeds', 5_000);
    this.#open += 1;
    try {
      const start = typeof from === 'string' ? await this.#find(from, filter) : from;
      const feed = new TenantStream({
        filter,
        start,
        sink,
        signal: call.signal,
        feeds: this,
        config: this.#config,
        log: call.log,
        metrics: this.#metrics,
        now: this.#now,
      });
      await feed.run();
    } finally {
      this.#open -= 1;
      if (this.#open === 0) this.#metrics.feedHeldSeconds.set(0);
    }
  }

  /** Something was committed, here or elsewhere. */
  wake(): void {
    this.#heard += 1;
    if (this.#waiting.size > 0) this.#startWave();
  }

  /** Events after a place. Who asks for the same at the same time gets the same. */
  read(after: Position | undefined, filter: TenantStreamFilter): Promise<TenantStreamPage> {
    const key = toReadKey(after, filter);
    const known = this.#reading.get(key);
    if (known !== undefined) return known;
    const { replayPage, streamBufferBytes } = this.#config;
    const reading = readTenantEvents(this.#pool, after, filter, replayPage, streamBufferBytes)
      .then((rows) => {
        const page = toPage(rows);
        this.#metrics.feedHeldSeconds.set(page.heldMs / 1000);
        return page;
      })
      .finally(() => this.#reading.delete(key));
    this.#reading.set(key, reading);
    return reading;
  }

  /** Waits until something was heard that was not when `heard` was, or for a time, or until the signal aborts. */
  news(heard: number, ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        this.#waiting.delete(done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      signal.addEventListener('abort', done, { once: true });
      this.#waiting.add(done);
      if (heard !== this.#heard) this.#startWave();
    });
  }

  // Where the log begins is what is said to a cursor that is of no epoch.
  async #find(place: 'now' | 'oldest', filter: TenantStreamFilter): Promise<Position> {
    const after = place === 'now' ? undefined : { epoch: -1n, xid: 0n, id: 0n };
    const { end } = await this.read(after, filter);
    this.#log.debug({ place }, 'a feed begins');
    return end;
  }

  #startWave(): void {
    this.#wave ??= setTimeout(
      () => {
        this.#wave = undefined;
        this.#lastWave = performance.now();
        for (const wake of this.#waiting) wake();
      },
      Math.max(0, this.#lastWave + WAVE_MS - performance.now()),
    );
  }
}

// Brackets and the word `all` keep an empty list apart from no restriction.
function toReadKey(after: Position | undefined, { tenants, kinds }: TenantStreamFilter): string {
  const place = after === undefined ? 'now' : `${after.epoch}.${after.xid}.${after.id}`;
  return `${place} ${tenants === 'all' ? 'all' : `[${tenants}]`} ${kinds === undefined ? 'all' : `[${kinds}]`}`;
}
