import type { Logger } from 'pino';
import type { Config } from '../config.ts';
import type { Pool } from '../db/types.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { findHorizon, listChangedChannels } from './log/sql.ts';
import { peekEvent } from './log/wire.ts';
import type { Hub } from './subscribe/hub.ts';

/**
 * Tells the hub what the log says it should have: every second it asks which channels' logs grew since the last
 * time. Costs one look at the log's newest entries however many channels and streams there are, and is what
 * streams live by while Redis is away or loses messages.
 */
export class LogPoller {
  readonly #hub: Hub;
  readonly #pool: Pool;
  readonly #everyMs: number;
  readonly #metrics: Metrics;
  readonly #log: Logger;
  #horizon: string | undefined;
  #sweptAt = Date.now();
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(parts: { hub: Hub; pool: Pool; config: Config; metrics: Metrics; log: Logger }) {
    this.#hub = parts.hub;
    this.#pool = parts.pool;
    this.#everyMs = parts.config.event.sweepMs;
    this.#metrics = parts.metrics;
    this.#log = parts.log.child({ part: 'sweep' });
  }

  /** Begins. Streams that start afterwards miss nothing that is committed after their channels were read. */
  async start(): Promise<void> {
    await this.#sweep();
    this.#schedule();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  #schedule(): void {
    if (!this.#closed) this.#timer = setTimeout(() => void this.#run(), this.#everyMs);
  }

  async #run(): Promise<void> {
    try {
      await this.#sweep();
      this.#sweptAt = Date.now();
    } catch (error) {
      if (!this.#closed) this.#log.warn({ err: error }, 'the log could not be swept; next try in a moment');
    } finally {
      this.#metrics.sweepLagSeconds.set((Date.now() - this.#sweptAt) / 1000);
      this.#schedule();
    }
  }

  // Transactions below the horizon have ended: between two horizons nothing can appear later.
  async #sweep(): Promise<void> {
    const [row] = await findHorizon(this.#pool);
    if (row === undefined) return;
    const from = this.#horizon;
    if (from !== undefined && from !== row.horizon) {
      for (const { channelId, head, joins } of await listChangedChannels(this.#pool, from, row.horizon)) {
        this.#hub.learn(channelId, head, joins.map(peekEvent));
      }
    }
    this.#horizon = row.horizon;
    this.#hub.mend();
  }
}
