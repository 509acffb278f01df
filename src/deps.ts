import type { Logger } from 'pino';
import type { Config } from './config.ts';
import { Database } from './db/database.ts';
import { LogPoller } from './event/log-poller.ts';
import { Relay } from './event/relay.ts';
import { Hub } from './event/subscribe/hub.ts';
import { TenantStreams } from './event/tenant-stream/tenant-streams.ts';
import { Jobs } from './jobs/jobs.ts';
import { SharedLimiter } from './limit/limiter.ts';
import { UnreadCache } from './member/cache.ts';
import { MessageCache } from './message/cache.ts';
import { SendQueue } from './message/send-queue.ts';
import { Presence } from './presence/presence.ts';
import { Typing } from './presence/typing.ts';
import { CacheClient } from './redis/cache-client.ts';
import { openRedis, type RedisClient } from './redis/client.ts';
import { createMetrics, type Metrics } from './telemetry/metrics.ts';

/** What handlers are given: the parts with a lifecycle, opened and closed in one place. */
export type Deps = {
  readonly config: Config;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly db: Database;
  readonly redis: RedisClient;
  readonly limiter: SharedLimiter;
  readonly hub: Hub;
  readonly feeds: TenantStreams;
  readonly relay: Relay;
  readonly sends: SendQueue;
  readonly presence: Presence;
  readonly typing: Typing;
  readonly messages: MessageCache;
  readonly unread: UnreadCache;
  /** Epoch ms; tests may move it. */
  readonly now: () => number;
  /** To be awaited before the first call is served. */
  start(): Promise<void>;
  close(): Promise<void>;
};

export function openDeps(config: Config, log: Logger, now: () => number = Date.now): Deps {
  const metrics = createMetrics();
  const db = new Database(config, log, metrics);
  const redis = openRedis(config.redis, log);
  const limiter = new SharedLimiter({ config, redis, metrics, log, now });
  const hub = new Hub({ config, pool: db.log, log, metrics, now });
  const feeds = new TenantStreams({ config, pool: db.feed, log, metrics, now });
  const relay = new Relay({ hub, feeds, redis, config, metrics, log });
  const sweep = new LogPoller({ hub, pool: db.log, config, metrics, log });
  const sends = new SendQueue({ pool: db.writes, relay, config, metrics, log });
  const presence = new Presence({ config, redis, pool: db.log, live: hub.live, relay, metrics, log });
  const typing = new Typing({ config, redis, live: hub.live, relay, metrics, log });
  const cache = new CacheClient(redis, config.cache, metrics);
  const messages = new MessageCache(cache, config.cache.messages);
  const unread = new UnreadCache(cache, config.cache.unread);
  const jobs = new Jobs({ db, relay, config, log, now });
  return {
    config,
    log,
    metrics,
    db,
    redis,
    limiter,
    hub,
    feeds,
    relay,
    sends,
    presence,
    typing,
    messages,
    unread,
    now,
    start: () => sweep.start(),
    async close() {
      jobs.close();
      await presence.close();
      sweep.close();
      hub.close();
      relay.close();
      limiter.close();
      redis.disconnect();
      await db.close();
    },
  };
}
