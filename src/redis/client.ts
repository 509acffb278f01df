import { Cluster, Redis } from 'ioredis';
import type { Logger } from 'pino';
import type { Config } from '../config.ts';

/** One server or a cluster. Callers need not distinguish them, as long as the keys of a command have one hash tag. */
export type RedisClient = Redis | Cluster;

const CONNECT_MS = 2_000;
const COMMAND_MS = 2_000;
const REDIRECTIONS = 3;
const SLOTS_REFRESH_MS = 5_000;

/** A command without a connection fails at once; reconnecting never stops. */
export function openRedis(
  config: Config['redis'],
  log: Logger,
  slotsRefreshMs = SLOTS_REFRESH_MS,
): RedisClient {
  const redis = config.cluster
    ? openCluster(config, slotsRefreshMs)
    : openServer(config, { enableAutoPipelining: true });
  redis.on('error', (error) => log.warn({ err: error }, 'redis'));
  return redis;
}

function openCluster(config: Config['redis'], slotsRefreshMs: number): Cluster {
  const cluster = new Cluster(
    config.urls.map((url) => ({ host: url.hostname, port: toPort(url) })),
    {
      enableOfflineQueue: false,
      enableAutoPipelining: true,
      maxRedirections: REDIRECTIONS,
      retryDelayOnFailover: 50,
      retryDelayOnClusterDown: 50,
      slotsRefreshTimeout: CONNECT_MS,
      clusterRetryStrategy: toPauseMs,
      redisOptions: { ...toOptions(config), maxRetriesPerRequest: 0 },
    },
  );
  // Not the driver's slotsRefreshInterval: a client that is closed during a refresh would refresh for ever, and the
  // process would not end.
  const timer = setInterval(() => {
    if (cluster.status === 'ready') cluster.refreshSlotsCache();
  }, slotsRefreshMs).unref();
  cluster.once('end', () => clearInterval(timer));
  return cluster;
}

/** A connection to one server: the one configured, or a node of the cluster. */
export function openServer(
  config: Config['redis'],
  options: { readonly enableAutoPipelining?: boolean; readonly autoResubscribe?: boolean },
  node?: { readonly host: string; readonly port: number },
): Redis {
  const [url] = config.urls;
  return new Redis({
    ...toOptions(config),
    host: node?.host ?? url?.hostname ?? '',
    port: node?.port ?? toPort(url),
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    retryStrategy: toPauseMs,
    ...options,
  });
}

function toOptions({ urls: [url], responseTimeoutMs }: Config['redis']) {
  return {
    connectTimeout: CONNECT_MS,
    commandTimeout: COMMAND_MS,
    // Replaces a connection that is open and silent, as behind a firewall that drops packets.
    socketTimeout: responseTimeoutMs,
    ...(url?.username ? { username: decodeURIComponent(url.username) } : {}),
    ...(url?.password ? { password: decodeURIComponent(url.password) } : {}),
    ...(url !== undefined && url.pathname.length > 1 ? { db: Number(url.pathname.slice(1)) } : {}),
    ...(url?.protocol === 'rediss:' ? { tls: {} } : {}),
  };
}

function toPort(url: URL | undefined): number {
  return url === undefined || url.port === '' ? 6379 : Number(url.port);
}

function toPauseMs(attempt: number): number {
  return Math.min(50 * 2 ** attempt, 1_000);
}
