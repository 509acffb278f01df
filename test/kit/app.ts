import type { DescService } from '@bufbuild/protobuf';
import { type Client, createClient, type Interceptor, type Transport } from '@connectrpc/connect';
import { createConnectTransport, createGrpcTransport } from '@connectrpc/connect-node';
import postgres from 'postgres';
import type { Config } from '../../src/config.ts';
import { openService, type Service } from '../../src/service.ts';
import { testConfig } from './config.ts';
import { type FreshDatabase, freshDatabase } from './database.ts';
import type { FaultProxy } from './fault-proxy.ts';
import { assertLoggedEventsDecode } from './logged-events.ts';
import { type FreshRedis, freshRedis } from './redis.ts';
import { withRequestIds } from './request-ids.ts';
import { freshStorage, type TestStorage } from './storage.ts';
import { createTokenSigner, type TokenSigner } from './tokens.ts';
import { until } from './until.ts';
import { testLog } from './warnings.ts';

const CLOSE_MS = 60_000;

/** For tests of what concurrent transactions do: each instance runs several. */
export const CONCURRENT = { DATABASE_CONNECTIONS: '4' } as const;

/** Whom a test calls as. */
export type As = {
  readonly userId: bigint;
  readonly tenantId: bigint;
  readonly name?: string;
  readonly roles?: readonly string[];
  /** Tenants in which a service may act besides its own. */
  readonly tenants?: readonly bigint[] | '*';
  /** Seconds until the token expires, default an hour. */
  readonly expiresIn?: number;
  /** Claim `jti`; calls with the same id use the same token. */
  readonly tokenId?: string;
  /** Tenant named in `x-tenant-id`. */
  readonly actsIn?: bigint;
};

export type Edge = 'grpc' | 'web';

/**
 * The service as it runs, on a database and a Redis of its own: one or more instances with both edges, called
 * over the network like anybody would.
 */
export class App {
  readonly instances: Service[] = [];
  readonly database: FreshDatabase;
  readonly redis: FreshRedis;
  /** The database past row-level security, for arranging and looking behind. */
  readonly owner: postgres.Sql<{ bigint: bigint }>;
  readonly tokens: TokenSigner;
  readonly #storage: TestStorage | undefined;
  readonly #env: Record<string, string>;
  readonly #tokensById = new Map<string, Promise<string>>();
  readonly #transports = new Map<string, Transport>();

  constructor(parts: {
    database: FreshDatabase;
    redis: FreshRedis;
    tokens: TokenSigner;
    env: Record<string, string>;
    storage?: TestStorage | undefined;
  }) {
    this.database = parts.database;
    this.redis = parts.redis;
    this.tokens = parts.tokens;
    this.#env = { ...parts.storage?.env, ...parts.env };
    this.#storage = parts.storage;
    this.owner = postgres(this.database.ownerUrl, {
      max: 4,
      types: { bigint: postgres.BigInt },
      transform: postgres.camel,
      onnotice() {},
    });
  }

  /** The connections to the store of a `fileApp`, which can fail. */
  get toStore(): FaultProxy {
    const proxy = this.#storage?.proxy;
    if (proxy === undefined) throw new Error('the store cannot fail');
    return proxy;
  }

  /** The configuration instances of this test get, with changes. */
  config(changes: Record<string, string> = {}): Config {
    return testConfig(this.environment(changes));
  }

  environment(changes: Record<string, string> = {}): Record<string, string> {
    return {
      INSTANCE_ID: `test-${this.instances.length}`,
      GRPC_ADDR: '127.0.0.1:0',
      WEB_ADDR: '127.0.0.1:0',
      METRICS_ADDR: '127.0.0.1:0',
      DATABASE_URL: this.database.serviceUrl,
      // Each plans every statement of its own, which takes a tenth of the CPU time of all tests.
      DATABASE_CONNECTIONS: '2',
      REDIS_URL: this.redis.url,
      REDIS_CLUSTER: String(this.redis.cluster),
      AUTH_JWKS_URL: this.tokens.jwksUrl,
      AUTH_ISSUER: this.tokens.issuer,
      AUTH_AUDIENCE: this.tokens.audience,
      SECRET_KEYS: this.tokens.secretKeys,
      LIMIT_SEND_PER_MINUTE: '0',
      LIMIT_READ_PER_MINUTE: '0',
      LIMIT_SEARCH_PER_MINUTE: '0',
      LIMIT_STREAM_OPENS_PER_MINUTE: '0',
      LIMIT_TENANT_PER_MINUTE: '0',
      LIMIT_CANCELLED_PER_MINUTE: '0',
      LIMIT_STREAMS_PER_USER: '0',
      LIMIT_STREAMS_PER_TENANT: '0',
      EVENT_POLL_MS: '200',
      // Tests of searches index when they need it, see indexed.ts.
      SEARCH_INDEX_INTERVAL_MS: '2000',
      DATABASE_PREPARE: String(process.env['TEST_PGBOUNCER'] !== 'true'),
      DRAIN_DELAY_MS: '0',
      DRAIN_TIMEOUT_MS: '2000',
      ...this.#env,
      ...changes,
    };
  }

  /** Starts one more instance on the same database and Redis. */
  async start(changes: Record<string, string> = {}, log = testLog()): Promise<Service> {
    const config = this.config(changes);
    const service = await openService(config, log);
    this.instances.push(service);
    // Presence, typing and signals that other instances publish before the subscription are lost. If the first attempt
    // to connect failed, changes of presence are replaced by a reset until the recovery has ended.
    const { relay, presence } = service.deps;
    if (this.redis.client.status === 'ready')
      await until(() => relay.isSubscribed && presence.isAvailable, 'connections to Redis');
    return service;
  }

  /** A client of a service, signed in as somebody, over an edge of an instance (the first one, gRPC). */
  client<S extends DescService>(service: S, as: As, edge: Edge = 'grpc', instance = 0): Client<S> {
    return createClient(service, this.transport(as, edge, instance));
  }

  transport(as: As, edge: Edge, instance: number): Transport {
    const { instances } = this;
    const address = edge === 'grpc' ? instances[instance]?.grpcAddress : instances[instance]?.webAddress;
    const key = `${address} ${edge} ${JSON.stringify(as, (_, value) => (typeof value === 'bigint' ? `${value}` : value))}`;
    let transport = this.#transports.get(key);
    if (transport === undefined) {
      const token = this.#token(as);
      const authorize: Interceptor = (next) => async (request) => {
        request.header.set('authorization', `Bearer ${await token}`);
        // What a service says to act for a user; the service ignores it from anybody else.
        if (as.roles !== undefined && as.userId > 0n) request.header.set('x-user-id', `${as.userId}`);
        if (as.actsIn !== undefined) request.header.set('x-tenant-id', `${as.actsIn}`);
        return next(request);
      };
      const options = { baseUrl: `http://${address}`, interceptors: [authorize] };
      transport = withRequestIds(
        edge === 'grpc'
          ? createGrpcTransport(options)
          : createConnectTransport({ ...options, httpVersion: '2' }),
      );
      this.#transports.set(key, transport);
    }
    return transport;
  }

  // A token with an id is one token for all transports.
  #token(as: As): Promise<string> {
    if (as.tokenId === undefined) return this.tokens.sign(as);
    const token = this.#tokensById.get(as.tokenId) ?? this.tokens.sign(as);
    this.#tokensById.set(as.tokenId, token);
    return token;
  }

  /** Stops everything, and checks that every event that was logged is what its row states. */
  async close(): Promise<void> {
    await within(CLOSE_MS, 'drain', Promise.all(this.instances.map((instance) => instance.drain())));
    try {
      await within(CLOSE_MS, 'reading the log', assertLoggedEventsDecode(this.owner));
    } finally {
      await within(CLOSE_MS, 'the end of its connections', this.owner.end());
      await within(CLOSE_MS, 'the end of Redis', this.redis.close());
      await within(CLOSE_MS, 'dropping the database', this.database.close());
      await this.#storage?.close();
    }
  }
}

// A hook has no time limit of its own, and the output of a file that does not end is incomplete.
async function within<T>(ms: number, what: string, promise: Promise<T>): Promise<T> {
  const timeout = Promise.withResolvers<never>();
  const timer = setTimeout(() => timeout.reject(new Error(`${what} took more than ${ms} ms`)), ms);
  return Promise.race([promise, timeout.promise]).finally(() => clearTimeout(timer));
}

/** Starts an app with one instance; `env` changes the configuration of all its instances. */
export async function app(
  env: Record<string, string> = {},
  redisOf: () => Promise<FreshRedis> = () => freshRedis(),
  storage?: TestStorage,
): Promise<App> {
  // First, because an open Redis would keep the process of a failed file from ending.
  const database = await freshDatabase();
  const [redis, tokens] = await Promise.all([redisOf(), createTokenSigner()]);
  const started = new App({ database, redis, tokens, env, storage });
  await started.start();
  return started;
}

/** The same with a store of files. */
export async function fileApp(
  env: Record<string, string> = {},
  redisOf?: () => Promise<FreshRedis>,
): Promise<App> {
  return app(env, redisOf, await freshStorage());
}
