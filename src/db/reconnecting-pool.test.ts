import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import postgres from 'postgres';
import { type FreshDatabase, freshDatabase } from '../../test/kit/database.ts';
import { FaultProxy } from '../../test/kit/fault-proxy.ts';
import { until } from '../../test/kit/until.ts';
import { ReconnectingPool } from './reconnecting-pool.ts';
import { ServerList } from './sockets.ts';
import { types } from './types.ts';

const BACKOFF_MS = 50;
const CONNECT_TIMEOUT_MS = 500;

describe('ReconnectingPool', () => {
  let database: FreshDatabase;
  let proxy: FaultProxy;
  let owner: postgres.Sql;

  before(async () => {
    database = await freshDatabase();
    owner = postgres(database.ownerUrl, { max: 2, onnotice() {} });
    proxy = await FaultProxy.open(Number(new URL(database.serviceUrl).port), false);
  });
  after(async () => {
    await owner.end();
    await proxy.close();
    await database.close();
  });

  function open({ connections = 1, graceSeconds = 0, hosts = 1 } = {}): ReconnectingPool {
    const url = new URL(database.serviceUrl);
    url.port = `${proxy.port}`;
    const servers = new ServerList(urlOf(url, hosts));
    return new ReconnectingPool(
      (parts) =>
        postgres(urlOf(url, hosts), {
          ...servers.current,
          types,
          fetch_types: false,
          max: connections,
          backoff: () => BACKOFF_MS / 1_000,
          ...parts,
        }),
      {
        name: 'discuss/test',
        max: connections,
        graceSeconds,
        connectTimeoutMs: CONNECT_TIMEOUT_MS,
        servers,
      },
    );
  }

  const answers = async ({ sql }: ReconnectingPool) => {
    const rows = await sql<{ two: number }[]>`select 2 as two`.catch(() => []);
    return rows[0]?.two === 2;
  };
  const closed = async (pool: ReconnectingPool) => {
    await pool.close();
    await until(() => proxy.connections === 0, 'the close of all connections');
  };

  it('settles the queries of a connection that is reset at any moment, and leaves no socket open', async () => {
    for (let round = 0; round < 10; round += 1) {
      const pool = open();
      const queries = Array.from({ length: 5 }, () => pool.sql`select 1`.then(() => 'OK', codeOf));
      await until(() => proxy.connections > 0);
      proxy.reset();
      for (const result of await Promise.all(queries)) assert.match(result, /^OK$|^CONNECTION_|^ECONNRESET$/);
      await until(() => answers(pool), 'a new connection');
      assert.ok(pool.generation <= 1, 'one lost connection replaces the pool once');
      // The driver still connects for queries that were queued.
      await new Promise((resolve) => setTimeout(resolve, 2 * BACKOFF_MS));
      await closed(pool);
    }
  });

  it('settles the queries that wait for a connection when one of several is reset', async () => {
    for (let round = 0; round < 4; round += 1) {
      const pool = open({ connections: 2, graceSeconds: 0.2 });
      // Each has a text of its own, which the driver describes first: others wait for its connection meanwhile.
      const queries = Array.from({ length: 60 }, (_, index) =>
        pool.sql`select ${index}::int as ${pool.sql(`c${index}`)}`.then(() => 'OK', codeOf),
      );
      await until(() => proxy.connections > 0);
      await new Promise((resolve) => setTimeout(resolve, round % 7));
      proxy.reset();
      for (const result of await Promise.all(queries)) assert.match(result, /^OK$|^CONNECTION_|^ECONNRESET$/);
      await until(() => answers(pool), 'a new connection');
      await closed(pool);
    }
  });

  // With several hosts in its options, the driver resolved the first query of a lost connection, without any row, when it
  // had connected again for a queued one.
  it('rejects the first query of a connection that is lost while others are queued, with several hosts', async () => {
    const pool = open({ graceSeconds: 1, hosts: 2 });
    const first = pool.sql`select 1 as one from pg_sleep(60)`.then(() => 'OK', codeOf);
    const queued = Array.from({ length: 5 }, () => pool.sql<{ two: number }[]>`select 2 as two`);
    const results = queued.map((query) => query.then((rows) => `${rows[0]?.two}`, codeOf));
    await until(async () => (await sleeping()) === 1, 'a running query');
    proxy.reset();
    assert.match(await first, /^CONNECTION_|^ECONNRESET$/);
    for (const result of await Promise.all(results)) assert.match(result, /^2$|^CONNECTION_|^ECONNRESET$/);
    await until(() => answers(pool), 'a new connection');
    await endSleeps();
    await closed(pool);
  });

  it('rejects running queries when all connections are lost, and replaces the pool once', async () => {
    const pool = open({ connections: 3 });
    const running = Array.from({ length: 3 }, () => pool.sql`select pg_sleep(60)`.then(() => 'OK', codeOf));
    await until(async () => (await sleeping()) === 3, 'three running queries');
    assert.equal(pool.generation, 0);
    proxy.reset();
    for (const result of await Promise.all(running)) assert.match(result, /^CONNECTION_|^ECONNRESET$/);
    await until(() => answers(pool), 'a new connection');
    assert.equal(pool.generation, 1);
    // The server notices the loss only when it writes.
    await endSleeps();
    await closed(pool);
  });

  it('lets queries on the other connections finish when one is lost', async () => {
    const pool = open({ connections: 2, graceSeconds: 3 });
    const lost = pool.sql`select pg_sleep(60)`.then(() => 'OK', codeOf);
    await until(async () => (await sleeping()) === 1, 'a running query');
    const { held, release } = await holdLock();
    const kept = pool.sql<{ done: boolean }[]>`select true as done from pg_advisory_xact_lock(1)`;
    const result = kept.then((rows) => `${rows[0]?.done}`, codeOf);
    await until(async () => (await waiting()) === 1, 'a waiting query');
    await endSleeps();
    assert.notEqual(await lost, 'OK');
    await until(() => answers(pool), 'a new connection');
    assert.equal(pool.generation, 1);
    release();
    await held;
    assert.equal(await result, 'true');
    await closed(pool);
  });

  it('keeps the pool when a connection could not be opened', async () => {
    const pool = open();
    proxy.mode = 'stall';
    const query = pool.sql`select 1`.then(() => 'OK', codeOf);
    await until(() => proxy.connections === 1);
    proxy.reset();
    assert.notEqual(await query, 'OK');
    proxy.mode = 'pass';
    await until(() => answers(pool), 'a connection');
    assert.equal(pool.generation, 0);
    await closed(pool);
  });

  it('rejects queries when the server closes each connection before it responds, with pauses', async () => {
    const pool = open({ connections: 2 });
    const attempts = proxy.attempts;
    proxy.mode = 'close';
    const results = await Promise.all([1, 2, 3].map(() => pool.sql`select 1`.then(() => 'OK', codeOf)));
    assert.deepEqual(results, ['ECONNRESET', 'ECONNRESET', 'ECONNRESET']);
    assert.ok(proxy.attempts - attempts < 40, `${proxy.attempts - attempts} connections`);
    proxy.mode = 'pass';
    await until(() => answers(pool), 'a connection');
    assert.equal(pool.generation, 0);
    await closed(pool);
  });

  it('opens no connection after its close', async () => {
    const pool = open();
    assert.ok(await answers(pool));
    await closed(pool);
    assert.equal(await pool.sql`select 1`.then(() => 'OK', codeOf), 'CONNECTION_ENDED');
    assert.equal(pool.generation, 0);
    assert.equal(proxy.connections, 0);
  });

  async function sleeping(): Promise<number> {
    const rows = await owner`
      select pid from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'
    `;
    return rows.length;
  }

  async function endSleeps(): Promise<void> {
    await owner`
      select pg_terminate_backend(pid, 10000)
      from pg_stat_activity
      where datname = current_database() and wait_event = 'PgSleep'
    `;
  }

  async function waiting(): Promise<number> {
    const rows = await owner`
      select pid from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'
    `;
    return rows.length;
  }

  /** Holds the advisory lock 1 until `release` is called. */
  async function holdLock(): Promise<{ held: Promise<unknown>; release: () => void }> {
    const locked = Promise.withResolvers<void>();
    const released = Promise.withResolvers<void>();
    const held = owner.begin(async (sql) => {
      await sql`select pg_advisory_xact_lock(1)`;
      locked.resolve();
      await released.promise;
    });
    await locked.promise;
    return { held, release: () => released.resolve() };
  }
});

function urlOf(url: URL, hosts: number): string {
  return url.href.replace(url.host, Array(hosts).fill(url.host).join());
}

function codeOf(error: unknown): string {
  return String(Object(error).code ?? error);
}
