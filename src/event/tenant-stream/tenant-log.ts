import type { Config } from '../../config.ts';
import type { Pool } from '../../db/types.ts';
import type { Metrics } from '../../telemetry/metrics.ts';
import type { Position } from './cursor.ts';
import { type TenantStreamPage, toPage } from './page.ts';
import { readTenantEvents, type TenantStreamFilter } from './sql.ts';

// Between two wake-ups of the waiting streams: under load one wake-up covers all events committed meanwhile.
const DEBOUNCE_MS = 20;

/**
 * The log of all tenants, as tenant streams read it. Each stream reads from its own position; streams with the same
 * filter that have reached the end are woken together, are at the same position, and share a read.
 */
export class TenantLog {
  readonly #config: Config['event'];
  readonly #pool: Pool;
  readonly #metrics: Metrics;
  readonly #reading = new Map<string, Promise<TenantStreamPage>>();
  readonly #waiting = new Set<() => void>();
  #version = 0;
  #timer: NodeJS.Timeout | undefined;
  #wokenAt = 0;

  constructor(parts: { config: Config; pool: Pool; metrics: Metrics }) {
    this.#config = parts.config.event;
    this.#pool = parts.pool;
    this.#metrics = parts.metrics;
  }

  /** Grows with every notification that something was committed. */
  get version(): number {
    return this.#version;
  }

  /** Notifies of a commit, here or at another instance. */
  notify(): void {
    this.#version += 1;
    if (this.#waiting.size > 0) this.#debounceWakeUp();
  }

  /** Events after a position. Equal reads at the same time are one read. */
  read(after: Position | undefined, filter: TenantStreamFilter): Promise<TenantStreamPage> {
    const key = toReadKey(after, filter);
    const current = this.#reading.get(key);
    if (current !== undefined) return current;
    const { replayPage, streamBufferBytes } = this.#config;
    const reading = readTenantEvents(this.#pool, after, filter, replayPage, streamBufferBytes)
      .then((rows) => {
        const page = toPage(rows);
        this.#metrics.tenantStreamHeldSeconds.set(page.heldMs / 1000);
        return page;
      })
      .finally(() => this.#reading.delete(key));
    this.#reading.set(key, reading);
    return reading;
  }

  /** Waits until the version differs from the one given, at most for a time, or until the signal aborts. */
  waitForChange(version: number, ms: number, signal: AbortSignal): Promise<void> {
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
      if (version !== this.#version) this.#debounceWakeUp();
    });
  }

  #debounceWakeUp(): void {
    this.#timer ??= setTimeout(
      () => {
        this.#timer = undefined;
        this.#wokenAt = performance.now();
        for (const wake of this.#waiting) wake();
      },
      Math.max(0, this.#wokenAt + DEBOUNCE_MS - performance.now()),
    );
  }
}

// Brackets and the word `all` distinguish an empty list from no restriction.
function toReadKey(after: Position | undefined, { tenants, kinds }: TenantStreamFilter): string {
  const place = after === undefined ? 'now' : `${after.epoch}.${after.xid}.${after.id}`;
  return `${place} ${tenants === 'all' ? 'all' : `[${tenants}]`} ${kinds === undefined ? 'all' : `[${kinds}]`}`;
}
