import type { Logger } from 'pino';
import type { Config } from '../config.ts';
import type { Pool } from '../db/types.ts';
import type { Relay } from '../event/relay.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { recordSentMessages, type SentMessagesRow } from './sql.ts';
import { signalActivities } from './view.ts';

// With 100 members in each of the channels, 10,000 activities in one transaction.
const EVENTS = 100;

type RecorderParts = {
  readonly pool: Pool;
  readonly relay: Relay;
  readonly config: Config;
  readonly metrics: Metrics;
  readonly log: Logger;
};

/**
 * Records messages as activities of the members that have set their notification level to ALL. It reads the log, so that
 * sending a message costs nothing for it. Every instance runs it, one of them at a time records.
 */
export class SentMessageRecorder {
  readonly #parts: RecorderParts;
  readonly #log: Logger;
  readonly #timer: NodeJS.Timeout;
  #running: Promise<void> | undefined;
  #limit = EVENTS;
  #closed = false;

  constructor(parts: RecorderParts) {
    this.#parts = parts;
    this.#log = parts.log.child({ part: 'sent-message-recorder' });
    this.#timer = setInterval(() => {
      this.#running ??= this.#run();
    }, parts.config.activity.pendingIntervalMs).unref();
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#timer);
    await this.#running;
  }

  async #run(): Promise<void> {
    try {
      while (!this.#closed && (await this.#recordNext()));
    } catch (error) {
      this.#log.warn(
        { err: error },
        'messages were not recorded as activities; retrying at the next interval',
      );
    } finally {
      this.#running = undefined;
    }
  }

  /** Returns whether further events may be in the log. */
  async #recordNext(): Promise<boolean> {
    const { pool, relay, config } = this.#parts;
    const began = performance.now();
    const limit = this.#limit;
    const [row] = await recordSentMessages(pool, limit, config.activity.messagesMaxMembers);
    if (row === undefined) return false;
    signalActivities(relay, row.activities);
    this.#adaptTo(row);
    // As in ActivityRecorder.
    await new Promise((resolve) => setTimeout(resolve, performance.now() - began));
    return row.events >= limit;
  }

  // After an error the transactions of the log are processed one by one, until the one that causes it is found.
  #adaptTo({ events, error, isSkipped }: SentMessagesRow): void {
    if (error === null) {
      if (events < this.#limit) this.#limit = EVENTS;
      return;
    }
    this.#limit = isSkipped ? EVENTS : 1;
    if (isSkipped) {
      this.#parts.metrics.activitiesParked.inc();
      this.#log.error({ error }, 'messages of one transaction were given up as activities');
    } else {
      this.#log.debug({ error }, 'messages were not recorded as activities; trying again');
    }
  }
}
