import type { Logger } from 'pino';
import type { Config } from '../config.ts';
import type { Pool } from '../db/types.ts';
import type { Relay } from '../event/relay.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { type PendingRow, recordPending } from './sql.ts';
import { signalActivities } from './view.ts';

const PORTION = 500;

type RecorderParts = {
  readonly pool: Pool;
  readonly relay: Relay;
  readonly config: Config;
  readonly metrics: Metrics;
  readonly log: Logger;
};

/**
 * Records the activities that concern too many users for the batch that posted their message. Every instance runs it,
 * one of them at a time records a portion; those of an instance that failed are found at the next interval.
 */
export class ActivityRecorder {
  readonly #pool: Pool;
  readonly #relay: Relay;
  readonly #metrics: Metrics;
  readonly #log: Logger;
  readonly #timer: NodeJS.Timeout;
  #running: Promise<void> | undefined;
  #isWoken = false;
  #closed = false;

  constructor({ pool, relay, config, metrics, log }: RecorderParts) {
    this.#pool = pool;
    this.#relay = relay;
    this.#metrics = metrics;
    this.#log = log.child({ part: 'activity-recorder' });
    this.#timer = setInterval(() => this.wake(), config.activity.pendingIntervalMs).unref();
  }

  /** Starts recording now instead of at the next interval. */
  wake(): void {
    this.#isWoken = true;
    this.#running ??= this.#run();
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#timer);
    await this.#running;
  }

  async #run(): Promise<void> {
    try {
      while (this.#isWoken && !this.#closed) {
        this.#isWoken = false;
        await this.#recordAll();
      }
    } catch (error) {
      this.#log.warn({ err: error }, 'activities were not recorded; retrying at the next interval');
    } finally {
      this.#running = undefined;
    }
  }

  async #recordAll(): Promise<void> {
    while (!this.#closed) {
      const began = performance.now();
      const [row] = await recordPending(this.#pool, PORTION);
      if (row === undefined || row.tenantId === null) return;
      if (row.error !== null) this.#report(row);
      signalActivities(this.#relay, row.activities);
      // Half of the time is left to the calls, whose statements share the processors of the database.
      await new Promise((resolve) => setTimeout(resolve, performance.now() - began));
    }
  }

  #report({ tenantId, messageId, error, isParked }: PendingRow): void {
    const failure = { tenant: tenantId, message: messageId, error };
    if (isParked === true) {
      this.#metrics.activitiesParked.inc();
      this.#log.error(failure, 'activities of a message were given up');
    } else {
      this.#log.debug(failure, 'activities were not recorded; trying again');
    }
  }
}
