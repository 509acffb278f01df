import { randomBytes } from 'node:crypto';
import postgres from 'postgres';
import { isDockerAvailable, prepareContainer, removeContainers } from '../../scripts/lib/docker.ts';
import { startPgbouncer } from '../../scripts/lib/pgbouncer.ts';
import {
  createDatabase,
  createServiceLogin,
  databaseUrl,
  randomPassword,
  startPostgres,
} from '../../scripts/lib/postgres.ts';
import { prepareRedis } from '../../scripts/lib/redis.ts';
import { migrate } from '../../src/db/migrate.ts';

const IMAGE = 'postgres:17-alpine';
const ABANDONED_SECONDS = 7_200;
const SETTINGS = [
  'max_connections=200',
  // Otherwise the first five executions of each statement on each connection are planned anew, in functions, too.
  'plan_cache_mode=force_generic_plan',
];

export interface TestServices {
  /** What the processes of the tests find the services by; see database.ts and redis.ts. */
  readonly env: Readonly<Record<string, string>>;
  /** One line for the log. */
  readonly summary: string;
  /** False when the test files must share one Redis. */
  readonly isolated: boolean;
  close(): Promise<void>;
}

interface Server {
  readonly url: string;
  readonly how: string;
  close(): Promise<void>;
}

/** Brings up PostgreSQL and Redis for one run of the tests, and the migrated database that every file clones. */
export async function openTestServices(log: (line: string) => void): Promise<TestServices> {
  const redisUrl = process.env['TEST_REDIS_URL'] ?? '';
  if (redisUrl === '') await prepareRedis(log);
  const server = await openPostgres(log);
  const run = `discuss_test_${Math.floor(Date.now() / 1000)}_${randomBytes(3).toString('hex')}`;
  const close = async () => {
    if (server.how === 'given') await dropRun(server.url, run);
    await server.close();
    if (redisUrl === '' && (await isDockerAvailable())) await removeContainers(run);
  };
  try {
    if (server.how === 'given') await dropAbandoned(server.url);
    const template = `${run}_template`;
    await createDatabase(server.url, template);
    const templateUrl = databaseUrl(server.url, template);
    await migrate(templateUrl);
    const serviceUrl = await createServiceLogin(templateUrl, run, randomPassword());
    await closeTemplate(server.url, template);
    const pooler =
      process.env['TEST_PGBOUNCER'] === 'true' ? await startPgbouncer(serviceUrl, log) : undefined;
    return {
      env: {
        TEST_PG_ADMIN_URL: server.url,
        TEST_PG_SERVICE_URL: pooler?.url ?? serviceUrl,
        TEST_TEMPLATE: template,
        TEST_RUN: run,
        TEST_REDIS_URL: redisUrl,
      },
      summary: `PostgreSQL: ${server.how}; Redis: ${redisUrl === '' ? 'one for each test file' : 'given'}`,
      isolated: redisUrl === '',
      close: () => (pooler?.stop() ?? Promise.resolve()).finally(close),
    };
  } catch (error) {
    await close();
    throw error;
  }
}

async function openPostgres(log: (line: string) => void): Promise<Server> {
  const given = process.env['TEST_DATABASE_URL'] ?? '';
  if (given !== '') return { url: given, how: 'given', close: async () => {} };
  if (await isDockerAvailable()) {
    try {
      await prepareContainer(IMAGE, log);
      return await openContainer();
    } catch (error) {
      log(`no PostgreSQL from the Docker engine: ${error instanceof Error ? error.message : error}`);
    }
  }
  const local = await startPostgres({ durable: false, settings: SETTINGS });
  return { url: local.url, how: 'local', close: () => local.stop() };
}

async function openContainer(): Promise<Server> {
  const { PostgreSqlContainer } = await import('@testcontainers/postgresql');
  const container = await new PostgreSqlContainer(IMAGE)
    .withTmpFs({ '/var/lib/postgresql/data': 'rw' })
    .withCommand([...SETTINGS, 'fsync=off', 'synchronous_commit=off'].flatMap((setting) => ['-c', setting]))
    .start();
  return {
    url: container.getConnectionUri(),
    how: 'container',
    close: async () => void (await container.stop()),
  };
}

// A session in the template, such as autovacuum's, would make cloning wait or fail.
async function closeTemplate(adminUrl: string, template: string): Promise<void> {
  await withAdmin(adminUrl, async (sql) => {
    await sql`vacuum analyze`;
    await sql`alter database ${sql(template)} with allow_connections false`;
  });
}

/** On a server that outlives the run. */
async function dropRun(adminUrl: string, run: string): Promise<void> {
  await withAdmin(adminUrl, async (sql) => {
    const databases = await sql<{ name: string }[]>`
      select datname as name
      from pg_database
      where starts_with(datname, ${run})
    `;
    for (const { name } of databases) await sql`drop database if exists ${sql(name)} with (force)`;
    await sql`drop role if exists ${sql(run)}`;
  });
}

async function dropAbandoned(adminUrl: string): Promise<void> {
  const runs = await withAdmin(
    adminUrl,
    (sql) => sql<{ run: string }[]>`
      select distinct found[1] as run
      from pg_database, regexp_match(datname, '^(discuss_test_([0-9]+)_[0-9a-f]{6})') as found
      where found[2]::bigint < extract(epoch from now()) - ${ABANDONED_SECONDS}
    `,
  );
  for (const { run } of runs) await dropRun(adminUrl, run);
}

async function withAdmin<T>(url: string, work: (sql: postgres.Sql) => Promise<T>): Promise<T> {
  const sql = postgres(url, { max: 1, onnotice() {} });
  try {
    return await work(sql);
  } finally {
    await sql.end();
  }
}
