import { Redis } from 'ioredis';
import type { Logger } from 'pino';
import type { Config } from './config.ts';
import { Database } from './db/database.ts';
import { createMetrics, type Metrics } from './edge/metrics.ts';
import { Hub } from './event/hub.ts';
import { Relay } from './event/relay.ts';
import { Sweep } from './event/sweep.ts';
import { SendQueue } from './message/send-queue.ts';
import { Jobs } from './retention/jobs.ts';

/** What handlers are given: the parts with a lifecycle, opened and closed in one place. */
export type Deps = {
  readonly config: Config;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly db: Database;
  readonly redis: Redis;
  readonly hub: Hub;
  readonly relay: Relay;
  readonly sends: SendQueue;
  /** Epoch ms; tests may move it. */
  readonly now: () => number;
  close(): Promise<void>;
};

export function openDeps(config: Config, log: Logger, now: () => number = Date.now): Deps {
  const metrics = createMetrics();
  const db = new Database(config, log, metrics);
  const redis = openRedis(config, log);
  const hub = new Hub({ config, pool: db.log, log, metrics, now });
  const relay = new Relay({ hub, redis, config, metrics, log });
  const sweep = new Sweep({ hub, pool: db.log, config, metrics, log });
  const sends = new SendQueue({ pool: db.writes, relay, config, metrics, log });
  const jobs = new Jobs({ pool: db.log, config, log, now });
  return {
    config,
    log,
    metrics,
    db,
    redis,
    hub,
    relay,
    sends,
    now,
    async close() {
      jobs.close();
      sweep.close();
      hub.close();
      await relay.close();
      redis.disconnect();
      await db.close();
    },
  };
}

// Nothing waits for Redis: a command without a connection fails at once, and connecting goes on for ever.
function openRedis(config: Config, log: Logger): Redis {
  const redis = new Redis(config.redis.url, {
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    connectTimeout: 2_000,
    commandTimeout: 2_000,
    enableAutoPipelining: true,
    retryStrategy: (attempt) => Math.min(50 * 2 ** attempt, 1_000),
  });
  redis.on('error', (error) => log.warn({ err: error }, 'redis'));
  return redis;
}
