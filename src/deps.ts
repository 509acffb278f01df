import type { Redis } from 'ioredis';
import type { Logger } from 'pino';
import type { Config } from './config.ts';
import type { Metrics } from './edge/metrics.ts';
import type { Hub } from './event/hub.ts';
import type { Relay } from './event/relay.ts';
import type { Database } from './db/database.ts';
import type { SendQueue } from './message/send-queue.ts';

/** What handlers are given: the parts with a lifecycle, opened and closed in one place. */
export type Deps = {
  readonly config: Config;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly db: Database;
  readonly redis: Redis;
  readonly relay: Relay;
  readonly hub: Hub;
  readonly sends: SendQueue;
  /** Epoch ms; tests may move it. */
  readonly now: () => number;
};
