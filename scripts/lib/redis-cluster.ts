import { Redis as Client } from 'ioredis';
import { freePort, scratchFolder, waitUntil } from './processes.ts';
import { type Redis, startRedis } from './redis.ts';

const SLOTS = 16_384;
const JOIN_MS = 20_000;

export interface RedisCluster {
  /** Addresses of the nodes, separated by commas. */
  readonly url: string;
  /** Kills a node; its slots become unavailable. */
  stopNode(node: number): Promise<void>;
  /** Starts the node again, empty, with its previous identity and slots. */
  startNode(node: number): Promise<void>;
  /** Runs a command on every running node. */
  onEach(run: (client: Client) => Promise<unknown>): Promise<void>;
  close(): Promise<void>;
}

/** A Redis Cluster on the loopback interface: masters without replicas, which keep serving when one of them is dead. */
export async function startRedisCluster(size = 3): Promise<RedisCluster> {
  const folder = scratchFolder('redis-cluster');
  const ports = await freePorts(size);
  const start = (port: number) =>
    startRedis({ port, durable: false, cluster: true, dataDir: `${folder.path}/${port}` });
  const nodes: (Redis | undefined)[] = await Promise.all(ports.map(start));
  const onEach = async (run: (client: Client) => Promise<unknown>) => {
    for (const node of nodes) if (node !== undefined) await withClient(node.port, run);
  };
  await join(ports);
  return {
    url: ports.map((port) => `redis://127.0.0.1:${port}`).join(','),
    async stopNode(node) {
      await nodes[node]?.kill();
      nodes[node] = undefined;
    },
    async startNode(node) {
      const port = ports[node];
      if (port !== undefined) nodes[node] ??= await start(port);
      await untilAgreed(ports);
    },
    onEach,
    async close() {
      await Promise.all(nodes.map((node) => node?.stop()));
      folder.remove();
    },
  };
}

async function join(ports: readonly number[]): Promise<void> {
  const [first = 0] = ports;
  for (const [index, port] of ports.entries()) {
    const from = Math.floor((SLOTS * index) / ports.length);
    const to = Math.floor((SLOTS * (index + 1)) / ports.length) - 1;
    await withClient(port, async (client) => {
      await client.cluster('ADDSLOTSRANGE', from, to);
      if (port !== first) await client.cluster('MEET', '127.0.0.1', `${first}`);
    });
  }
  await untilAgreed(ports);
}

/** Waits until every node sees every other and all slots served. */
async function untilAgreed(ports: readonly number[]): Promise<void> {
  for (const port of ports) {
    await withClient(port, (client) =>
      waitUntil('the cluster to agree', JOIN_MS, async () => {
        const info = String(await client.cluster('INFO'));
        const whole = info.includes('cluster_state:ok') && info.includes(`cluster_slots_ok:${SLOTS}`);
        return whole && info.includes(`cluster_known_nodes:${ports.length}`) ? true : undefined;
      }),
    );
  }
}

async function withClient<T>(port: number, run: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client({ port, host: '127.0.0.1' });
  try {
    return await run(client);
  } finally {
    client.disconnect();
  }
}

// The nodes communicate on the port that is higher by 10,000.
async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  while (ports.length < count) {
    const port = await freePort();
    const busPort = port + 10_000;
    if (busPort < 32_768 && (await freePort(busPort)) === busPort && !ports.includes(port)) ports.push(port);
  }
  return ports;
}
