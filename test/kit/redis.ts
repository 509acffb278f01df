import { once } from 'node:events';
import { Cluster, Redis } from 'ioredis';
import { freePort } from '../../scripts/lib/processes.ts';
import { startRedis } from '../../scripts/lib/redis.ts';
import { type RedisCluster, startRedisCluster } from '../../scripts/lib/redis-cluster.ts';
import type { RedisClient } from '../../src/redis/client.ts';

export interface FreshRedis {
  /** Its address; the addresses of the nodes, separated by commas, when it is a cluster. */
  readonly url: string;
  readonly cluster: boolean;
  /** A connection for arranging and looking behind. */
  readonly client: RedisClient;
  /** Empties it. */
  forget(): Promise<void>;
  /** Takes Redis away, all of it or one node of the cluster; what it held is lost. */
  stop(node?: number): Promise<void>;
  /** Brings it back, empty, at the same address. */
  start(node?: number): Promise<void>;
  close(): Promise<void>;
}

const RETRY_MS = 50;

type Server = Omit<FreshRedis, 'client' | 'forget'>;

/** Started before it is needed, because a new cluster serves writes only after two seconds. */
let spare: Promise<RedisCluster> | undefined;

/**
 * A Redis of its own: neither keys nor pub/sub are shared with other test files. With TEST_REDIS_CLUSTER=true in the
 * environment it is a cluster of three nodes.
 */
export async function freshRedis(
  cluster = process.env['TEST_REDIS_CLUSTER'] === 'true',
): Promise<FreshRedis> {
  const given = process.env['TEST_REDIS_URL'] ?? '';
  const server = cluster ? await freshCluster() : given === '' ? await freshServer() : givenServer(given);
  const client = openClient(server);
  await once(client, 'ready');
  const forget = async () => {
    const servers = client instanceof Cluster ? client.nodes('master') : [client];
    await Promise.all(servers.map((one) => one.flushdb()));
  };
  await forget();
  return {
    ...server,
    client,
    forget,
    async close() {
      client.disconnect();
      await server.close();
    },
  };
}

/** Unlike the service's own, its commands wait while Redis is away, or a cluster is not complete. */
function openClient({ url, cluster }: Pick<Server, 'url' | 'cluster'>): RedisClient {
  const retryMs = () => RETRY_MS;
  const client = cluster
    ? new Cluster(url.split(','), {
        clusterRetryStrategy: retryMs,
        retryDelayOnFailover: RETRY_MS,
        retryDelayOnClusterDown: RETRY_MS,
        maxRedirections: 200,
        redisOptions: { maxRetriesPerRequest: null },
      })
    : new Redis(url, { retryStrategy: retryMs, maxRetriesPerRequest: null });
  return client.on('error', () => {});
}

async function freshServer(): Promise<Server> {
  const port = await freePort();
  let server: Awaited<ReturnType<typeof startRedis>> | undefined;
  const stop = async () => {
    await server?.stop();
    server = undefined;
  };
  const start = async () => {
    server ??= await startRedis({ port, durable: false });
  };
  await start();
  return { url: server?.url ?? '', cluster: false, stop, start, close: stop };
}

/** For a process whose tests use one cluster after the other; `closeSpareCluster` must follow. */
export function openSpareCluster(): void {
  spare = startRedisCluster();
  // Reported to the test that uses it.
  spare.catch(() => {});
}

export async function closeSpareCluster(): Promise<void> {
  await (await spare)?.close();
}

async function freshCluster(): Promise<Server> {
  const taken = spare;
  if (taken !== undefined) openSpareCluster();
  const nodes = await (taken ?? startRedisCluster());
  const on = (act: (node: number) => Promise<void>) => async (node?: number) => {
    await Promise.all(node === undefined ? [0, 1, 2].map(act) : [act(node)]);
  };
  return {
    url: nodes.url,
    cluster: true,
    stop: on(nodes.stopNode),
    start: on(nodes.startNode),
    close: nodes.close,
  };
}

function givenServer(url: string): Server {
  const errors = async () => {
    throw new Error('the Redis of TEST_REDIS_URL is not ours to stop; unset it to run this test');
  };
  return { url, cluster: false, stop: errors, start: errors, close: async () => {} };
}
