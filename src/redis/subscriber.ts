import { Cluster, type Redis } from 'ioredis';
import type { Logger } from 'pino';
import type { Config } from '../config.ts';
import { openServer, type RedisClient } from './client.ts';

const REFRESH_MS = 1_000;
const PING_MS = 2_000;

type Node = { readonly host: string; readonly port: number };
type Connection = { readonly redis: Redis; wanted: readonly string[]; readonly subscribed: Set<string> };

/**
 * Keeps subscriptions to channels across failures: on a connection of its own to the server, or in a cluster on one to
 * each node that serves one of the channels. The driver's own sharded subscribers are not used: while a node of the
 * cluster is down they connect to it a hundred times a second.
 */
export class Listener {
  readonly #config: Config['redis'];
  readonly #redis: RedisClient;
  readonly #channels: readonly string[];
  readonly #receive: (message: Buffer) => void;
  readonly #log: Logger;
  readonly #connections = new Map<string, Connection>();
  readonly #timer: NodeJS.Timeout | undefined;
  readonly #pings: NodeJS.Timeout;
  #refreshing = false;
  #closed = false;

  /** False on servers before Redis 7, which have no sharded channels: publish to plain ones. */
  sharded = true;

  constructor(parts: {
    config: Config['redis'];
    redis: RedisClient;
    channels: readonly string[];
    receive: (message: Buffer) => void;
    log: Logger;
  }) {
    this.#config = parts.config;
    this.#redis = parts.redis;
    this.#channels = parts.channels;
    this.#receive = parts.receive;
    this.#log = parts.log;
    // Nothing is sent on these connections otherwise, so that their time-out would never run.
    this.#pings = setInterval(() => this.#ping(), Math.min(PING_MS, parts.config.responseTimeoutMs)).unref();
    if (parts.redis instanceof Cluster) {
      const { redis } = parts;
      redis.on('ready', () => void this.#refresh(redis));
      this.#timer = setInterval(() => void this.#refresh(redis), REFRESH_MS).unref();
    } else {
      this.#connect('', undefined, parts.channels);
    }
  }

  /** Number of channels with a subscription at the moment. */
  get subscribed(): number {
    let count = 0;
    for (const { subscribed } of this.#connections.values()) count += subscribed.size;
    return count;
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
    clearInterval(this.#pings);
    for (const { redis } of this.#connections.values()) redis.disconnect();
  }

  #ping(): void {
    for (const { redis } of this.#connections.values())
      if (redis.status === 'ready') redis.ping().catch(() => {});
  }

  // Polled, because nodes fail, return and hand slots over to other nodes.
  async #refresh(cluster: Cluster): Promise<void> {
    if (this.#refreshing || cluster.status !== 'ready') return;
    this.#refreshing = true;
    try {
      const served = await findNodes(cluster, this.#channels);
      for (const [key, { node, channels }] of served) {
        // close() may be called during the loop: a connection opened after it would reconnect for ever.
        if (this.#closed) return;
        const connection = this.#connections.get(key);
        if (connection === undefined) this.#connect(key, node, channels);
        else await this.#subscribe(connection, channels);
      }
      for (const key of this.#connections.keys()) if (!served.has(key)) this.#disconnect(key);
    } catch (error) {
      this.#log.debug({ err: error }, 'slots of the cluster could not be read; retrying');
    } finally {
      this.#refreshing = false;
    }
  }

  #connect(key: string, node: Node | undefined, wanted: readonly string[]): void {
    const redis = openServer(this.#config, { autoResubscribe: false }, node);
    const connection: Connection = { redis, wanted, subscribed: new Set() };
    this.#connections.set(key, connection);
    const receive = (_: Buffer, message: Buffer) => this.#receive(message);
    redis.on('messageBuffer', receive);
    redis.on('smessageBuffer', receive);
    redis.on('error', () => {});
    redis.on('close', () => connection.subscribed.clear());
    // A slot that moves to another node ends its subscriptions.
    redis.on('sunsubscribe', (channel: string) => connection.subscribed.delete(channel));
    redis.on('ready', () => void this.#subscribe(connection, connection.wanted));
  }

  #disconnect(key: string): void {
    this.#connections.get(key)?.redis.disconnect();
    this.#connections.delete(key);
  }

  async #subscribe(connection: Connection, wanted: readonly string[]): Promise<void> {
    const { redis, subscribed } = connection;
    connection.wanted = wanted;
    const missing = wanted.filter((channel) => !subscribed.has(channel));
    if (redis.status !== 'ready' || missing.length === 0) return;
    try {
      // One command each: the channels of one command must share a slot.
      if (this.sharded) await Promise.all(missing.map((channel) => redis.ssubscribe(channel)));
      else await redis.subscribe(...missing);
      for (const channel of missing) subscribed.add(channel);
    } catch (error) {
      if (this.sharded && error instanceof Error && /unknown command/i.test(error.message)) {
        this.sharded = false;
        return this.#subscribe(connection, wanted);
      }
      this.#log.warn({ err: error }, 'subscribing failed; retrying');
      if (!(this.#redis instanceof Cluster)) redis.disconnect(true);
    }
  }
}

type Served = Map<string, { readonly node: Node; readonly channels: string[] }>;

/** The nodes that serve the channels, by address. */
async function findNodes(cluster: Cluster, channels: readonly string[]): Promise<Served> {
  const ranges = await cluster.cluster('SLOTS');
  const slots = await Promise.all(channels.map((channel) => cluster.cluster('KEYSLOT', channel)));
  const served: Served = new Map();
  for (const [index, channel] of channels.entries()) {
    const slot = slots[index] ?? 0;
    const master = ranges.find(([from, to]) => from <= slot && slot <= to)?.[2];
    if (master === undefined) continue;
    const node = { host: String(master[0]), port: Number(master[1]) };
    const key = `${node.host}:${node.port}`;
    const entry = served.get(key) ?? { node, channels: [] };
    entry.channels.push(channel);
    served.set(key, entry);
  }
  return served;
}
