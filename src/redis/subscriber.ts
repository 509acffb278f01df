import { Cluster, type Redis } from 'ioredis';
import type { Logger } from 'pino';
import type { Config } from '../config.ts';
import { openServer, type RedisClient } from './client.ts';

const REFRESH_MS = 1_000;
const PING_MS = 2_000;

type Node = { readonly host: string; readonly port: number };
type Connection = { readonly redis: Redis; wanted: ReadonlySet<string>; readonly subscribed: Set<string> };

/**
 * Keeps subscriptions to a changing set of channels across failures: on a connection of its own to the server, or in a cluster on one to
 * each node that serves one of the channels. The driver's own sharded subscribers are not used: while a node of the
 * cluster is down they connect to it a hundred times a second.
 */
export class Listener {
  readonly #config: Config['redis'];
  readonly #redis: RedisClient;
  readonly #channels = new Set<string>();
  /** Slots of channels, which never change. */
  readonly #slots = new Map<string, number>();
  readonly #receive: (message: Buffer) => void;
  readonly #log: Logger;
  readonly #connections = new Map<string, Connection>();
  readonly #timer: NodeJS.Timeout | undefined;
  readonly #pings: NodeJS.Timeout;
  #refreshing: Promise<void> | undefined;
  #closed = false;

  /** False on servers before Redis 7, which have no sharded channels: publish to plain ones. */
  sharded = true;

  constructor(parts: {
    config: Config['redis'];
    redis: RedisClient;
    receive: (message: Buffer) => void;
    log: Logger;
  }) {
    this.#config = parts.config;
    this.#redis = parts.redis;
    this.#receive = parts.receive;
    this.#log = parts.log;
    // Nothing is sent on these connections otherwise, so that their time-out would never run.
    this.#pings = setInterval(() => this.#ping(), Math.min(PING_MS, parts.config.responseTimeoutMs)).unref();
    if (parts.redis instanceof Cluster) {
      const { redis } = parts;
      redis.on('ready', () => void this.#refresh(redis));
      this.#timer = setInterval(() => void this.#refresh(redis), REFRESH_MS).unref();
    } else {
      this.#connect('', undefined, this.#channels);
    }
  }

  /** Whether all channels have a subscription at the moment. */
  get isComplete(): boolean {
    const subscribed = new Set<string>();
    for (const connection of this.#connections.values())
      for (const channel of connection.subscribed) subscribed.add(channel);
    return [...this.#channels].every((channel) => subscribed.has(channel));
  }

  /** Resolves when the server has confirmed the subscriptions, or cannot at the moment. */
  async add(channels: readonly string[]): Promise<void> {
    for (const channel of channels) this.#channels.add(channel);
    await this.#apply();
  }

  async remove(channels: readonly string[]): Promise<void> {
    for (const channel of channels) this.#channels.delete(channel);
    await this.#apply();
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

  async #apply(): Promise<void> {
    if (this.#redis instanceof Cluster) {
      // One that has begun may not see the change.
      while (this.#refreshing !== undefined) await this.#refreshing;
      return this.#refresh(this.#redis);
    }
    for (const connection of this.#connections.values()) await this.#subscribe(connection, this.#channels);
  }

  // Polled, because nodes fail, return and hand slots over to other nodes.
  async #refresh(cluster: Cluster): Promise<void> {
    if (this.#refreshing !== undefined || cluster.status !== 'ready') return;
    this.#refreshing = this.#connectNodes(cluster);
    await this.#refreshing;
    this.#refreshing = undefined;
  }

  async #connectNodes(cluster: Cluster): Promise<void> {
    try {
      const served = await findNodes(cluster, this.#channels, this.#slots);
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
    }
  }

  #connect(key: string, node: Node | undefined, wanted: ReadonlySet<string>): void {
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

  async #subscribe(connection: Connection, wanted: ReadonlySet<string>): Promise<void> {
    const { redis, subscribed } = connection;
    connection.wanted = wanted;
    if (redis.status !== 'ready') return;
    const missing = [...wanted].filter((channel) => !subscribed.has(channel));
    const extra = [...subscribed].filter((channel) => !wanted.has(channel));
    for (const channel of extra) {
      subscribed.delete(channel);
      // One that another node serves now is not subscribed any more.
      (this.sharded ? redis.sunsubscribe(channel) : redis.unsubscribe(channel)).catch(() => {});
    }
    try {
      // One command each: the channels of one command must share a slot.
      await Promise.all(
        missing.map((channel) => (this.sharded ? redis.ssubscribe(channel) : redis.subscribe(channel))),
      );
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

type Served = Map<string, { readonly node: Node; readonly channels: Set<string> }>;

/** The nodes that serve the channels, by address. */
async function findNodes(
  cluster: Cluster,
  channels: ReadonlySet<string>,
  slots: Map<string, number>,
): Promise<Served> {
  const ranges = await cluster.cluster('SLOTS');
  const served: Served = new Map();
  const unknown = [...channels].filter((channel) => !slots.has(channel));
  const found = await Promise.all(unknown.map((channel) => cluster.cluster('KEYSLOT', channel)));
  for (const [index, channel] of unknown.entries()) slots.set(channel, found[index] ?? 0);
  for (const channel of channels) {
    const slot = slots.get(channel) ?? 0;
    const master = ranges.find(([from, to]) => from <= slot && slot <= to)?.[2];
    if (master === undefined) continue;
    const node = { host: String(master[0]), port: Number(master[1]) };
    const key = `${node.host}:${node.port}`;
    const entry = served.get(key) ?? { node, channels: new Set<string>() };
    entry.channels.add(channel);
    served.set(key, entry);
  }
  return served;
}
