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
 * sending a message costs nothing for it. Of several instances, one at a time records.
 */
export class SentMessageRecorder {
  readonly #parts: RecorderParts;
  readonly #log: Logger;
  #limit = EVENTS;

  constructor(parts: RecorderParts) {
    this.#parts = parts;
    this.#log = parts.log.child({ part: 'sent-message-recorder' });
  }

  /** Records until the end of the log. */
  async recordAll(isClosed: () => boolean): Promise<void> {
    while (!isClosed() && (await this.#recordNext()));
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
