import { Cluster, Redis } from 'ioredis';
import type { Logger } from 'pino';
import type { Config } from '../config.ts';

/** One server or a cluster. Callers need not distinguish them, as long as the keys of a command have one hash tag. */
export type RedisClient = Redis | Cluster;

const CONNECT_MS = 2_000;
const COMMAND_MS = 2_000;
const REDIRECTIONS = 3;

/** A command without a connection fails at once; reconnecting never stops. */
export function openRedis(config: Config['redis'], log: Logger): RedisClient {
  const options = toOptions(config);
  const redis = config.cluster
    ? new Cluster(
        config.urls.map((url) => ({ host: url.hostname, port: toPort(url) })),
        {
          enableOfflineQueue: false,
          enableAutoPipelining: true,
          maxRedirections: REDIRECTIONS,
          retryDelayOnFailover: 50,
          retryDelayOnClusterDown: 50,
          slotsRefreshTimeout: CONNECT_MS,
          slotsRefreshInterval: 5_000,
          clusterRetryStrategy: toPauseMs,
          redisOptions: { ...options, maxRetriesPerRequest: 0 },
        },
      )
    : openServer(config, { enableAutoPipelining: true });
  redis.on('error', (error) => log.warn({ err: error }, 'redis'));
  return redis;
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

function toOptions({ urls: [url] }: Config['redis']) {
  return {
    connectTimeout: CONNECT_MS,
    commandTimeout: COMMAND_MS,
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
