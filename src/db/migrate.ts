import { setTimeout as sleep } from 'node:timers/promises';
import postgres from 'postgres';
import { applyFunction, applyFunctions, recordFile, runFile } from './apply-functions.ts';
import { assertCanRun, findSchemaVersion } from './assert-schema.ts';
import { type Awaited, awaitServer } from './await-server.ts';
import { type Migration, readSchemaFiles, SchemaError, type SchemaFiles } from './schema-files.ts';
import { compareVersions, SCHEMA_VERSION, type SchemaVersion } from './schema-version.ts';
import { Sockets } from './sockets.ts';

export type MigrateOptions = {
  /** Called for each file that is applied. */
  readonly log?: (line: string) => void;
  /** Time to wait for the server, default 60 s. */
  readonly timeoutMs?: number;
  /** Called every few seconds while the server does not respond. */
  readonly warn?: (line: string) => void;
  /** A folder with `migrations/` and `functions/`; the default is sql/ of this build. */
  readonly folder?: URL;
  /** The build to migrate to; the default is this one. */
  readonly build?: SchemaVersion;
};

type AppliedRow = { name: string; checksum: string };

const OLDEST_SERVER = 150_000;
const SERVER_TIMEOUT_MS = 60_000;
const CONNECT_TIMEOUT_MS = 5_000;
// While a statement waits for a lock on a table, all later calls that use the table wait behind it. Below deadlock_timeout
// (1 s), so that the migration gives up, and not a call that waits for another of its tables.
const LOCK_TIMEOUT_MS = 400;
const LOCK_PAUSE_MS = 1_000;
const LOCK_ATTEMPTS = 300;
// While another process migrates.
const BUSY_PAUSE_MS = 100;

/**
 * Brings the database up to this build: the migrations that are missing, each in its own transaction, then the files of
 * sql/functions/ that changed, in the transaction of the last migration. A migration that does not get its locks within
 * 0.4 s is rolled back and tried again, for five minutes or longer. A function whose signature or result changes,
 * or which is removed, must be dropped in a migration, because `create or replace` would leave the old one or fail.
 * Safe to call from many processes at once. Changes nothing in a database of a newer build that permits this one, so that
 * a release can be rolled back. Rejects other newer ones, and one whose applied migrations are not those of this build.
 */
export async function migrate(ownerUrl: string, options: MigrateOptions = {}): Promise<void> {
  const { log = () => {}, warn = () => {}, timeoutMs = SERVER_TIMEOUT_MS, build = SCHEMA_VERSION } = options;
  const files = readSchemaFiles(options.folder);
  const sockets = new Sockets(Math.min(CONNECT_TIMEOUT_MS, timeoutMs));
  const sql = postgres(ownerUrl, {
    // The second is for statements that cannot run in a transaction.
    max: 2,
    onnotice() {},
    connection: { application_name: 'discuss/migrate' },
    connect_timeout: CONNECT_TIMEOUT_MS / 1_000,
    ...{ socket: sockets.open },
  });
  try {
    const onWait: Awaited['warn'] = ({ host, err }, message) => warn(`${message} at ${host}: ${err}`);
    await awaitServer(sql, { url: ownerUrl, timeoutMs, warn: onWait });
    await checkServer(sql);
    const found = await findSchemaVersion(sql);
    if (found !== undefined && compareVersions(found.version, build.version) > 0) {
      assertCanRun(build, found);
      return log(`the schema is of the newer version ${found.version}, which this build can run on`);
    }
    for (let done = false; !done; ) done = await retryLocked(() => applyStep(sql, files, log), warn);
  } finally {
    await sql.end({ timeout: 1 });
    sockets.close();
  }
}

async function applyStep(
  sql: postgres.Sql,
  files: SchemaFiles,
  log: (line: string) => void,
): Promise<boolean | 'busy'> {
  const lines: string[] = [];
  const done = await sql.begin((tx) => applyNext(tx, sql, files, (line) => lines.push(line)));
  for (const line of lines) log(line);
  return done;
}

async function retryLocked<T>(step: () => Promise<T | 'busy'>, warn: (line: string) => void): Promise<T> {
  for (let attempt = 1; ; attempt += 1)
    try {
      for (;;) {
        const result = await step();
        if (result !== 'busy') return result;
        await sleep(BUSY_PAUSE_MS);
      }
    } catch (error) {
      const cause = error instanceof Error ? (error.cause ?? error) : error;
      const isLocked = cause instanceof postgres.PostgresError && cause.code === '55P03';
      if (!isLocked || attempt === LOCK_ATTEMPTS) throw error;
      warn(`${error instanceof Error ? error.message : error}; trying again`);
      await sleep(LOCK_PAUSE_MS);
    }
}

async function checkServer(sql: postgres.Sql): Promise<void> {
  const [server] = await sql<{ version: number; encoding: string }[]>`
    select
      current_setting('server_version_num')::int as version,
      current_setting('server_encoding') as encoding
  `;
  if (server === undefined || server.version < OLDEST_SERVER) {
    throw new SchemaError('PostgreSQL 15 or newer is needed: views must obey row-level security');
  }
  if (server.encoding !== 'UTF8') {
    throw new SchemaError(`the database must have encoding UTF8, not ${server.encoding}`);
  }
}

/**
 * Applies the first migration that is missing, and the functions after the last one. True when nothing is left; `busy`
 * while another process migrates.
 */
async function applyNext(
  tx: postgres.TransactionSql,
  sql: postgres.Sql,
  { migrations, functions }: SchemaFiles,
  log: (line: string) => void,
): Promise<boolean | 'busy'> {
  // A lock of the transaction, not of the session: it cannot outlive a lost connection or confuse a pooler.
  // Not a lock that waits: an index that is created concurrently would wait for the snapshot of the waiting statement.
  const [lock] = await tx<{ taken: boolean }[]>`
    select pg_try_advisory_xact_lock(hashtext('discuss.migrate')) as taken
  `;
  if (lock?.taken !== true) return 'busy';
  await tx`select set_config('lock_timeout', ${`${LOCK_TIMEOUT_MS}`}, true)`;
  await createTable(tx);
  const [next, ...rest] = findMissing(migrations, await listApplied(tx));
  for (const part of next?.parts ?? [])
    if ('include' in part) await applyFunction(tx, functions, part.include, log);
    else if (next?.isConcurrent === true) await runStatements(tx, sql, next.name, part.text);
    else await runFile(tx, `migration ${next?.name}`, part.text);
  if (next !== undefined) {
    await recordFile(tx, next.name, next.checksum);
    log(`applied ${next.name}`);
  }
  if (rest.length > 0) return false;
  await applyFunctions(tx, functions, log);
  return true;
}

// One by one, because several in one query are a transaction. The transaction with the lock on migrations stays open.
async function runStatements(
  tx: postgres.TransactionSql,
  sql: postgres.Sql,
  name: string,
  text: string,
): Promise<void> {
  // Closes the portal of its last query, for whose snapshot an index that is created concurrently would wait.
  await tx.unsafe('select').simple();
  const statements = text.replaceAll(/^--.*$/gm, '').split(/;\s*$/m);
  for (const statement of statements)
    if (statement.trim() !== '') await runFile(sql, `migration ${name}`, statement);
}

async function createTable(tx: postgres.TransactionSql): Promise<void> {
  const [found] = await tx<{ exists: boolean }[]>`
    select to_regclass('public.schema_migrations') is not null as exists
  `;
  if (found?.exists) return;
  await tx.unsafe(`
    create table schema_migrations (
      name text primary key,
      checksum text not null,
      applied_at bigint not null
    );
    comment on table schema_migrations is 'Files of sql/ applied to this database: migrations, and functions/<feature>/<name>.sql.';
    comment on column schema_migrations.name is 'File name of the migration, or path of the function file.';
    comment on column schema_migrations.checksum is 'SHA-256 of the file as it was applied, of a migration without its include lines.';
    comment on column schema_migrations.applied_at is 'When it was last applied, epoch ms.';
  `);
}

async function listApplied(tx: postgres.TransactionSql): Promise<AppliedRow[]> {
  return tx<AppliedRow[]>`
    select name, checksum
    from schema_migrations
    where name not like 'functions/%'
    order by name
  `;
}

function findMissing(migrations: readonly Migration[], applied: readonly AppliedRow[]): readonly Migration[] {
  for (const [index, row] of applied.entries()) {
    const known = migrations.find((migration) => migration.name === row.name);
    if (known === undefined) {
      throw new SchemaError(`the database has migration ${row.name}, which this build does not know`);
    }
    if (known.checksum !== row.checksum) {
      throw new SchemaError(`migration ${row.name} was changed after it was applied; add a new one instead`);
    }
    const expected = migrations[index];
    if (expected !== undefined && expected.name !== row.name) {
      throw new SchemaError(`migration ${expected.name} comes before ${row.name}, which is applied already`);
    }
  }
  return migrations.slice(applied.length);
}
