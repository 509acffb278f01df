import type { Logger } from 'pino';
import type { Config } from '../config.ts';
import type { Pool } from '../db/types.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { findLogState, listChangedChannels } from './log/sql.ts';
import { peekEvent } from './log/wire.ts';
import type { Hub } from './subscribe/hub.ts';

/**
 * Reads every second which channels' logs grew, and reports their heads to the hub. One poll costs one look at the
 * newest entries of the log, whatever the number of channels and streams. Streams depend on it while Redis is away or
 * loses messages.
 */
export class LogPoller {
  readonly #hub: Hub;
  readonly #pool: Pool;
  readonly #intervalMs: number;
  readonly #metrics: Metrics;
  readonly #log: Logger;
  #horizon: string | undefined;
  #identity: string | null | undefined;
  #polledAt = Date.now();
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(parts: { hub: Hub; pool: Pool; config: Config; metrics: Metrics; log: Logger }) {
    this.#hub = parts.hub;
    this.#pool = parts.pool;
    this.#intervalMs = parts.config.event.pollMs;
    this.#metrics = parts.metrics;
    this.#log = parts.log.child({ part: 'log-poller' });
  }

  /** Starts. Streams opened later miss nothing that is committed after their channels were read. */
  async start(): Promise<void> {
    await this.#poll();
    this.#schedule();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  #schedule(): void {
    if (!this.#closed) this.#timer = setTimeout(() => void this.#run(), this.#intervalMs);
  }

  async #run(): Promise<void> {
    try {
      await this.#poll();
      this.#polledAt = Date.now();
    } catch (error) {
      if (!this.#closed) this.#log.warn({ err: error }, 'the log could not be polled; retrying');
    } finally {
      this.#metrics.pollLagSeconds.set((Date.now() - this.#polledAt) / 1000);
      this.#schedule();
    }
  }

  // Transactions below the horizon have ended, so nothing can appear between two horizons later.
  async #poll(): Promise<void> {
    const [row] = await findLogState(this.#pool);
    if (row === undefined) return;
    if (this.#identity !== undefined && this.#identity !== row.identity) {
      this.#log.warn('the database was restored from a backup; all streams start again');
      this.#hub.restart();
      this.#horizon = undefined;
    }
    this.#identity = row.identity;
    const from = this.#horizon;
    if (from !== undefined && from !== row.horizon) {
      for (const { channelId, head, joins } of await listChangedChannels(this.#pool, from, row.horizon)) {
        this.#hub.observeHead(channelId, head, joins.map(peekEvent));
      }
    }
    this.#horizon = row.horizon;
    this.#hub.fillGaps();
  }
}
