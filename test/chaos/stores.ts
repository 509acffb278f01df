import { join } from 'node:path';
import { Redis as Client } from 'ioredis';
import postgres from 'postgres';
import {
  createDatabase,
  createServiceLogin,
  databaseUrl,
  type Postgres,
  randomPassword,
  startPostgres,
} from '../../scripts/lib/postgres.ts';
import { promote, startSynchronousStandby } from '../../scripts/lib/postgres-standby.ts';
import { freePort, scratchFolder } from '../../scripts/lib/processes.ts';
import { type Redis, startRedis } from '../../scripts/lib/redis.ts';
import { migrate } from '../../src/db/migrate.ts';

const DATABASE = 'discuss';
const RETRY_MS = 100;
const ATTEMPTS = 50;

type Folder = ReturnType<typeof scratchFolder>;

export type Owner = postgres.Sql<{ bigint: bigint }>;

/** Dedicated PostgreSQL and Redis servers that can be stopped. */
export class Stores implements AsyncDisposable {
  readonly serviceUrl: string;
  /** A connection without row-level security; reconnects after a restart of the server. */
  readonly owner: Owner;
  readonly postgresPort: number;
  /** Where nothing listens before a failover. */
  readonly standbyPort: number;
  readonly redisPort: number;
  readonly #folder: Folder;
  #postgres: Postgres;
  #standby: Postgres | undefined;
  #redis: Redis | undefined;

  private constructor(parts: {
    folder: Folder;
    postgres: Postgres;
    redis: Redis;
    serviceUrl: string;
    standbyPort: number;
  }) {
    this.#folder = parts.folder;
    this.#postgres = parts.postgres;
    this.#redis = parts.redis;
    this.postgresPort = parts.postgres.port;
    this.redisPort = parts.redis.port;
    this.serviceUrl = parts.serviceUrl;
    this.standbyPort = parts.standbyPort;
    const hosts = [parts.postgres.port, parts.standbyPort].map((port) => `127.0.0.1:${port}`);
    this.owner = postgres(withHosts(databaseUrl(parts.postgres.url, DATABASE), hosts), {
      max: 3,
      types: { bigint: postgres.BigInt },
      transform: postgres.camel,
      backoff: () => 0.1,
      onnotice() {},
    });
  }

  static async open(): Promise<Stores> {
    const folder = scratchFolder('discuss-chaos');
    const [server, redis] = await Promise.all([
      startPostgres({ dataDir: dataDirIn(folder), port: await freePort(), durable: true }),
      startRedis({ port: await freePort(), durable: false }),
    ]);
    await createDatabase(server.url, DATABASE);
    const ownerUrl = databaseUrl(server.url, DATABASE);
    await migrate(ownerUrl);
    const serviceUrl = await createServiceLogin(ownerUrl, 'discuss_chaos', randomPassword());
    const standbyPort = await freePort();
    return new Stores({ folder, postgres: server, redis, serviceUrl, standbyPort });
  }

  /** PostgreSQL ends without a checkpoint and without closing connections, as in a crash, and has to recover. */
  async crashPostgres(): Promise<void> {
    process.kill(this.#postgres.pid, 'SIGQUIT');
    await this.#postgres.ended;
  }

  async startPostgres(): Promise<void> {
    const options = { dataDir: dataDirIn(this.#folder), port: this.postgresPort, durable: true };
    // The port and shared memory of the old server are released when its last child process has ended.
    this.#postgres = await retry(() => startPostgres(options));
  }

  /** Starts a standby that confirms every commit. */
  async startStandby(): Promise<void> {
    const standby = { dataDir: join(this.#folder.path, 'standby'), port: this.standbyPort };
    this.#standby = await startSynchronousStandby(this.#postgres, dataDirIn(this.#folder), standby);
  }

  /** Commits continue, and the standby does not apply them. */
  async pauseStandby(): Promise<void> {
    await this.#onStandby((sql) => sql`select pg_wal_replay_pause()`);
  }

  async resumeStandby(): Promise<void> {
    await this.#onStandby((sql) => sql`select pg_wal_replay_resume()`);
  }

  /** Ends the standby, and makes commits no longer wait for it. */
  async stopStandby(): Promise<void> {
    await this.owner`alter system reset synchronous_standby_names`;
    await this.owner`select pg_reload_conf()`;
    await this.#standby?.stop();
    this.#standby = undefined;
  }

  async #onStandby(statement: (sql: postgres.Sql) => Promise<unknown>): Promise<void> {
    if (this.#standby === undefined) throw new Error('there is no standby');
    const sql = postgres(this.#standby.url, { max: 1, onnotice() {} });
    try {
      await statement(sql);
    } finally {
      await sql.end();
    }
  }

  /** Makes the standby the primary, as an operator or a failover manager does. */
  async promoteStandby(): Promise<void> {
    if (this.#standby === undefined) throw new Error('there is no standby');
    await promote(this.#standby);
    this.#postgres = this.#standby;
    this.#standby = undefined;
  }

  /** Cuts all connections of the instances. */
  async cutConnections(): Promise<number> {
    const cut = await this.owner`
      select pg_terminate_backend(pid)
      from pg_stat_activity
      where application_name like 'discuss/%'
    `;
    return cut.length;
  }

  /** Stops Redis, which loses all its data. */
  async killRedis(): Promise<void> {
    await this.#redis?.kill();
    this.#redis = undefined;
  }

  async startRedis(): Promise<void> {
    this.#redis ??= await startRedis({ port: this.redisPort, durable: false });
  }

  async flushRedis(): Promise<void> {
    const client = new Client(this.redisPort, '127.0.0.1');
    await client.flushall();
    client.disconnect();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.owner.end({ timeout: 1 });
    await this.#redis?.stop();
    await this.#standby?.stop();
    await this.#postgres.stop();
    this.#folder.remove();
  }
}

/** A URL of several servers, of which the primary is used. */
export function withHosts(url: string, hosts: readonly string[]): string {
  return `${url.replace(/(?<=@)[^/]+/, hosts.join(','))}?target_session_attrs=primary`;
}

function dataDirIn({ path }: Folder): string {
  return join(path, 'postgres');
}

async function retry<T>(start: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await start();
    } catch (error) {
      if (attempt === ATTEMPTS) throw error;
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }
}
