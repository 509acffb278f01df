import type { Logger } from 'pino';
import type { Config } from './config.ts';
import type { Database } from './db/database.ts';
import type { Directory } from './directory/directory.ts';
import type { Encryption } from './encryption/encryption.ts';
import type { Relay } from './event/relay.ts';
import type { SharedLimiter } from './limit/limiter.ts';
import type { RedisClient } from './redis/client.ts';
import type { Revocations } from './revocation/revocations.ts';
import type { Metrics } from './telemetry/metrics.ts';
import type { Tracer } from './telemetry/tracing.ts';

/** What the handlers of every feature may use. A feature's own parts are in the type of its `xRoutes` parameter. */
export type Deps = {
  readonly config: Config;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly db: Database;
  readonly redis: RedisClient;
  readonly directory: Directory;
  readonly encryption: Encryption;
  readonly limiter: SharedLimiter;
  readonly relay: Relay;
  /** Undefined where no collector is configured. */
  readonly tracer: Tracer | undefined;
  readonly revocations: Revocations;
  /** Epoch ms; tests may move it. */
  readonly now: () => number;
};
