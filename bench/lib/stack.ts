import { join } from 'node:path';
import postgres from 'postgres';
import { Child } from '../../scripts/lib/child.ts';
import {
  createDatabase,
  createServiceLogin,
  databaseUrl,
  type Postgres,
  randomPassword,
  startPostgres,
} from '../../scripts/lib/postgres.ts';
import { type Redis, startRedis } from '../../scripts/lib/redis.ts';
import { migrate } from '../../src/db/migrate.ts';
import type { Pool } from '../../src/db/types.ts';
import { types } from '../../src/db/types.ts';
import { createTokenSigner, type TokenSigner } from '../../test/kit/tokens.ts';
import type { ServerCommands } from '../processes/server.ts';
import { benchFolder } from './folder.ts';

/** The tenant of all measured calls. */
export const TENANT = 1n;

const TEMPLATE = 'discuss_template';
// As in the Dockerfile.
const YOUNG_GENERATION = '--max-semi-space-size=16';
// Usual production settings; commits stay durable.
const SETTINGS = [
  'shared_buffers=512MB',
  'max_wal_size=8GB',
  'checkpoint_timeout=30min',
  // Tracks nothing unless a database enables it.
  'shared_preload_libraries=pg_stat_statements',
  'pg_stat_statements.track=none',
];
// Most benchmarks measure without rate limits.
const UNLIMITED = {
  LIMIT_SEND_PER_MINUTE: '0',
  LIMIT_READ_PER_MINUTE: '0',
  LIMIT_SEARCH_PER_MINUTE: '0',
  LIMIT_STREAM_OPENS_PER_MINUTE: '0',
  LIMIT_TENANT_PER_MINUTE: '0',
  LIMIT_CANCELLED_PER_MINUTE: '0',
  LIMIT_UNREAD_REQUESTS_PER_USER: '0',
  LIMIT_STREAMS_PER_USER: '0',
  LIMIT_STREAMS_PER_TENANT: '0',
};

/** The default limits: an empty variable counts as unset. */
export const DEFAULT_LIMITS: Readonly<Record<string, string>> = Object.fromEntries(
  Object.keys(UNLIMITED).map((name) => [name, '']),
);

/** PostgreSQL on disk with every commit flushed, and Redis, for one run of the benchmarks. */
export class Stack implements AsyncDisposable {
  readonly tokens: TokenSigner;
  /** Node options for the service's process, such as those of the profiler. */
  readonly #nodeOptions: readonly string[];
  readonly #postgres: Postgres;
  readonly #redis: Redis;
  readonly #serviceUrl: string;
  readonly #owned: AsyncDisposableStack;
  #databases = 0;

  private constructor(parts: {
    tokens: TokenSigner;
    nodeOptions: readonly string[];
    postgres: Postgres;
    redis: Redis;
    serviceUrl: string;
    owned: AsyncDisposableStack;
  }) {
    this.tokens = parts.tokens;
    this.#nodeOptions = parts.nodeOptions;
    this.#postgres = parts.postgres;
    this.#redis = parts.redis;
    this.#serviceUrl = parts.serviceUrl;
    this.#owned = parts.owned;
  }

  static async open(nodeOptions: readonly string[]): Promise<Stack> {
    await using owned = new AsyncDisposableStack();
    const folder = owned.adopt(benchFolder(), ({ remove }) => remove());
    const server = owned.adopt(
      await startPostgres({ dataDir: join(folder.path, 'postgres'), durable: true, settings: SETTINGS }),
      ({ stop }) => stop(),
    );
    const redis = owned.adopt(await startRedis({ durable: false }), ({ stop }) => stop());
    await createDatabase(server.url, TEMPLATE);
    const templateUrl = databaseUrl(server.url, TEMPLATE);
    await migrate(templateUrl);
    const serviceUrl = await createServiceLogin(templateUrl, 'discuss_bench', randomPassword());
    const tokens = await createTokenSigner(join(folder.path, 'tokens'));
    return new Stack({ tokens, nodeOptions, postgres: server, redis, serviceUrl, owned: owned.move() });
  }

  /** An empty database, with the schema or without. */
  async database(kind: 'migrated' | 'empty' = 'migrated'): Promise<BenchDatabase> {
    this.#databases += 1;
    const name = `bench_${this.#databases}`;
    await this.#administer((sql) =>
      kind === 'migrated'
        ? sql`create database ${sql(name)} template ${sql(TEMPLATE)} strategy file_copy`
        : sql`create database ${sql(name)}`,
    );
    const drop = () => this.#administer((sql) => sql`drop database ${sql(name)} with (force)`);
    return new BenchDatabase(
      name,
      databaseUrl(this.#postgres.url, name),
      databaseUrl(this.#serviceUrl, name),
      drop,
    );
  }

  get redisUrl(): string {
    return this.#redis.url;
  }

  /** An instance of the service in a separate process; `changes` override its configuration. */
  service(
    database: BenchDatabase,
    changes: Readonly<Record<string, string>> = {},
  ): Promise<Child<ServerCommands>> {
    const options = [YOUNG_GENERATION, ...this.#nodeOptions];
    return Child.start<ServerCommands>(
      'bench/processes/server.ts',
      this.environment(database, changes),
      options,
    );
  }

  /** The environment of such an instance. */
  environment(
    database: BenchDatabase,
    changes: Readonly<Record<string, string>>,
  ): Readonly<Record<string, string>> {
    return {
      ...UNLIMITED,
      ...changes,
      GRPC_ADDR: '127.0.0.1:0',
      WEB_ADDR: '127.0.0.1:0',
      METRICS_ADDR: '127.0.0.1:0',
      DATABASE_URL: database.serviceUrl,
      REDIS_URL: this.#redis.url,
      AUTH_JWKS_URL: this.tokens.jwksUrl,
      AUTH_ISSUER: this.tokens.issuer,
      AUTH_AUDIENCE: this.tokens.audience,
      SECRET_KEYS: this.tokens.secretKeys,
      DRAIN_DELAY_MS: '0',
      DRAIN_TIMEOUT_MS: '500',
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned.disposeAsync();
  }

  async #administer(statement: (sql: postgres.Sql) => Promise<unknown>): Promise<void> {
    const sql = postgres(this.#postgres.url, { max: 1, onnotice() {} });
    try {
      await statement(sql);
    } finally {
      await sql.end();
    }
  }
}

/** A database for one benchmark; disposal drops it. */
export class BenchDatabase implements AsyncDisposable {
  readonly name: string;
  readonly serviceUrl: string;
  readonly #ownerUrl: string;
  readonly #drop: () => Promise<void>;
  readonly #pools: Pool[] = [];

  constructor(name: string, ownerUrl: string, serviceUrl: string, drop: () => Promise<void>) {
    this.name = name;
    this.#ownerUrl = ownerUrl;
    this.serviceUrl = serviceUrl;
    this.#drop = drop;
  }

  /** Connections that bypass row-level security, with the driver settings of the service. */
  owner(max: number): Pool {
    return this.#open(this.#ownerUrl, max);
  }

  /** Connections with the rights of the service. */
  service(max: number): Pool {
    return this.#open(this.serviceUrl, max);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#pools.map((pool) => pool.end({ timeout: 5 })));
    await this.#drop();
  }

  #open(url: string, max: number): Pool {
    const pool = postgres(url, {
      max,
      types,
      fetch_types: false,
      transform: postgres.camel,
      onnotice() {},
    });
    this.#pools.push(pool);
    return pool;
  }
}
