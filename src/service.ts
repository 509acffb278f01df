import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { ActivityRecorder } from './activity/recorder.ts';
import { MediaProcess } from './attachment/media.ts';
import { openStorage } from './attachment/open-storage.ts';
import { ScanProcess } from './attachment/scan.ts';
import { auditCalls } from './audit/interceptor.ts';
import type { Config } from './config.ts';
import { assertSchema, assertServiceRole } from './db/assert-schema.ts';
import { type Awaited, awaitServer } from './db/await-server.ts';
import { Database } from './db/database.ts';
import { Directory } from './directory/directory.ts';
import { openGrpcEdge } from './edge/grpc/server.ts';
import { openWebEdge } from './edge/web/server.ts';
import { Encryption } from './encryption/encryption.ts';
import { LogPoller } from './event/log-poller.ts';
import { Relay } from './event/relay.ts';
import { Hub } from './event/subscribe/hub.ts';
import { TenantLog } from './event/tenant-stream/tenant-log.ts';
import { TenantStreams } from './event/tenant-stream/tenant-streams.ts';
import { Jobs } from './jobs/jobs.ts';
import { openCallSchedule } from './limit/call-schedule.ts';
import { SharedLimiter } from './limit/limiter.ts';
import { UnreadCache } from './member/cache.ts';
import { MessageCache } from './message/cache.ts';
import { SendQueue } from './message/send-queue.ts';
import { Presence } from './presence/presence.ts';
import { Typing } from './presence/typing.ts';
import { ReactionQueue } from './reaction/queue.ts';
import { CacheClient } from './redis/cache-client.ts';
import { openRedis } from './redis/client.ts';
import { Revocations } from './revocation/revocations.ts';
import { type RouteDeps, routes } from './routes.ts';
import { createApi } from './rpc/api.ts';
import { createMetrics, openMetricsServer } from './telemetry/metrics.ts';
import { createTracer } from './telemetry/tracing.ts';

/** A running instance, for main.ts and for tests. */
export type Service = {
  readonly grpcAddress: string;
  readonly webAddress: string;
  readonly metricsAddress: string;
  readonly deps: RouteDeps;
  /** Reports to health checks that it drains; after the delay, lets running calls finish, ends streams and closes. */
  drain(): Promise<void>;
};

/** Opens an instance. Fails when this build cannot run on the schema of the database. */
export async function openService(config: Config, log: Logger): Promise<Service> {
  const opened = new AsyncDisposableStack();
  try {
    return await open(config, log, opened);
  } catch (error) {
    await opened.disposeAsync();
    throw error;
  }
}

// Each part is added to `opened` once it is open; the stack closes them in reverse order.
async function open(config: Config, log: Logger, opened: AsyncDisposableStack): Promise<Service> {
  const deps = await openDeps(config, log, opened);
  // The metrics server opens first, but an instance is ready only while both edges serve.
  let isReady = false;
  const api = await createApi(
    routes(deps),
    { ...deps, callSchedule: openCallSchedule(config.call, deps.metrics) },
    [auditCalls(deps.db.log)],
  );
  const parts = { api, config, log, metrics: deps.metrics, now: deps.now };
  const metrics = await openMetricsServer(config.metrics.address, deps.metrics, () => isReady);
  opened.defer(() => metrics.close());
  const grpc = await openGrpcEdge(parts);
  opened.defer(() => grpc.close());
  const web = await openWebEdge(parts);
  opened.defer(() => web.close());
  isReady = true;
  return {
    grpcAddress: grpc.address,
    webAddress: web.address,
    metricsAddress: metrics.address,
    deps,
    async drain() {
      isReady = false;
      for (const edge of [grpc, web]) edge.announceDrain();
      await sleep(config.call.drainDelayMs);
      await Promise.all([grpc.drain(), web.drain()]);
      await opened.disposeAsync();
    },
  };
}

async function openDeps(config: Config, log: Logger, opened: AsyncDisposableStack): Promise<RouteDeps> {
  // Not `Date.now` itself, which a test that moves the clock replaces.
  const now = () => Date.now();
  const metrics = createMetrics();
  const tracer = createTracer(config.tracing, config.instance, log);
  opened.defer(() => tracer?.close());
  const db = new Database(config, log, metrics, tracer);
  opened.defer(() => db.close());
  const { url, startupTimeoutMs } = config.db;
  const warn: Awaited['warn'] = (fields, message) => log.warn(fields, message);
  await awaitServer(db.log, { url, timeoutMs: startupTimeoutMs, warn });
  await assertSchema(db.log);
  await assertServiceRole(db.log);
  const redis = openRedis(config.redis, log);
  opened.defer(() => redis.disconnect());
  const limiter = new SharedLimiter({ config, redis, metrics, log, now });
  opened.defer(() => limiter.close());
  const encryption = new Encryption({ config, pool: db.log, log, metrics });
  await encryption.start();
  const hub = new Hub({ config, pool: db.log, keys: encryption.keys, log, metrics, now });
  opened.defer(() => hub.close());
  const tenantLog = new TenantLog({ config, pool: db.tenantStreams, metrics });
  const tenantStreams = new TenantStreams({ config, tenantLog, metrics, now });
  const revocations = new Revocations({ config, redis, log, now });
  opened.defer(() => revocations.close());
  const relay = new Relay({ hub, tenantLog, revocations, redis, config, metrics, tracer, log });
  opened.defer(() => relay.close());
  const logPoller = new LogPoller({ hub, pool: db.log, config, metrics, log });
  opened.defer(() => logPoller.close());
  await logPoller.start();
  const directory = new Directory({ config, metrics, log, now });
  const deps = {
    config,
    log,
    metrics,
    tracer,
    db,
    redis,
    directory,
    encryption,
    limiter,
    relay,
    revocations,
    now,
  };
  const presence = new Presence({ ...deps, pool: db.log, broadcast: hub.broadcast });
  opened.defer(() => presence.close());
  const typing = new Typing({ ...deps, broadcast: hub.broadcast });
  const activityRecorder = new ActivityRecorder({ ...deps, pool: db.log });
  opened.defer(() => activityRecorder.close());
  const sendQueue = new SendQueue({ ...deps, activityRecorder });
  const reactionQueue = new ReactionQueue(deps);
  const cacheClient = new CacheClient(redis, config.cache, metrics);
  const messageCache = new MessageCache(cacheClient, config.cache.messages);
  const unreadCache = new UnreadCache(cacheClient, config.cache.unread);
  const storage = await openStorage(config);
  opened.defer(() => storage.close());
  const { caFile } = config.storage;
  const workerEnv = caFile === undefined ? {} : { NODE_EXTRA_CA_CERTS: caFile };
  const [scans, media] = [new ScanProcess(workerEnv), new MediaProcess(workerEnv)];
  opened.defer(() => scans.close());
  opened.defer(() => media.close());
  const jobs = new Jobs({ ...deps, storage, scans, media, messageCache, presence });
  opened.defer(() => jobs.close());
  const queues = { sendQueue, reactionQueue };
  return { ...deps, ...queues, hub, tenantStreams, presence, typing, messageCache, unreadCache, storage };
}
