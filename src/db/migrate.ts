import postgres from 'postgres';
import { applyFunction, applyFunctions, recordFile, runFile } from './apply-functions.ts';
import { type Awaited, awaitServer } from './await-server.ts';
import { type Migration, readSchemaFiles, SchemaError, type SchemaFiles } from './schema-files.ts';
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
};

type AppliedRow = { name: string; checksum: string };

const OLDEST_SERVER = 150_000;
const SERVER_TIMEOUT_MS = 60_000;
const CONNECT_TIMEOUT_MS = 5_000;

/**
 * Brings the database up to this build: the migrations that are missing, each in its own transaction, then the files of
 * sql/functions/ that changed, in the transaction of the last migration. A function whose signature or result changes,
 * or which is removed, must be dropped in a migration, because `create or replace` would leave the old one or fail.
 * Safe to call from many processes at once. Rejects a database that a newer build has migrated, and one whose applied
 * migrations are not those of this build.
 */
export async function migrate(ownerUrl: string, options: MigrateOptions = {}): Promise<void> {
  const { log = () => {}, warn = () => {}, timeoutMs = SERVER_TIMEOUT_MS, folder } = options;
  const files = readSchemaFiles(folder);
  const sockets = new Sockets(Math.min(CONNECT_TIMEOUT_MS, timeoutMs));
  const sql = postgres(ownerUrl, {
    max: 1,
    onnotice() {},
    connection: { application_name: 'discuss/migrate' },
    connect_timeout: CONNECT_TIMEOUT_MS / 1_000,
    ...{ socket: sockets.open },
  });
  try {
    const onWait: Awaited['warn'] = ({ host, err }, message) => warn(`${message} at ${host}: ${err}`);
    await awaitServer(sql, { url: ownerUrl, timeoutMs, warn: onWait });
    await checkServer(sql);
    for (let done = false; !done; ) {
      const lines: string[] = [];
      done = await sql.begin((tx) => applyNext(tx, files, (line) => lines.push(line)));
      for (const line of lines) log(line);
    }
  } finally {
    await sql.end({ timeout: 1 });
    sockets.close();
  }
}

/** Rejects a schema other than the one of this build; `sql` may be the service's role. */
export async function assertSchema<T extends Record<string, unknown>>(
  sql: postgres.Sql<T>,
  folder?: URL,
): Promise<void> {
  const { migrations, functions } = readSchemaFiles(folder);
  const applied = await listSchemaFiles(sql);
  const wanted = migrations.at(-1)?.name;
  const found = [...applied.keys()]
    .filter((name) => !name.startsWith('functions/'))
    .sort()
    .at(-1);
  if (found === undefined) throw new SchemaError('the database has no schema yet: run make migrate');
  if (found !== wanted)
    throw new SchemaError(
      migrations.some((migration) => migration.name === found)
        ? `the schema is older than this build (${found}, wanted ${wanted}): run make migrate`
        : `the schema is not of this build (${found}, wanted ${wanted}): run the build that migrated it, or a newer one`,
    );
  const own = new Map([...functions.values()].map(({ name, checksum }) => [name, checksum]));
  const names = new Set([...applied.keys(), ...own.keys()].filter((name) => name.startsWith('functions/')));
  const different = [...names].filter((name) => applied.get(name) !== own.get(name)).sort();
  if (different.length > 0)
    throw new SchemaError(`functions differ from this build (${different.join(', ')}): run make migrate`);
}

/**
 * Rejects a login to which row-level security does not apply: one that owns tables, bypasses policies, or is a member
 * of discuss_system, whose policies permit all rows.
 */
export async function assertServiceRole<T extends Record<string, unknown>>(
  sql: postgres.Sql<T>,
): Promise<void> {
  const [role] = await sql<{ name: string; bypasses: boolean; owns: boolean }[]>`
    select
      r.rolname as name,
      r.rolsuper or r.rolbypassrls or exists (
        select 1 from pg_roles s where s.rolname = 'discuss_system' and pg_has_role(s.oid, 'member')
      ) as bypasses,
      exists (select 1 from pg_class c where pg_has_role(c.relowner, 'member') and c.relname = 'messages') as owns
    from pg_roles r
    where r.rolname = current_user
  `;
  if (role?.bypasses !== false || role.owns)
    throw new SchemaError(
      `the login ${role?.name} must be a plain member of discuss_service, see docs/schema-notes.md`,
    );
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

/** Applies the first migration that is missing, and the functions after the last one. True when nothing is left. */
async function applyNext(
  tx: postgres.TransactionSql,
  { migrations, functions }: SchemaFiles,
  log: (line: string) => void,
): Promise<boolean> {
  // A lock of the transaction, not of the session: it cannot outlive a lost connection or confuse a pooler.
  await tx`select pg_advisory_xact_lock(hashtext('discuss.migrate'))`;
  await createTable(tx);
  const [next, ...rest] = findMissing(migrations, await listApplied(tx));
  for (const part of next?.parts ?? [])
    if ('include' in part) await applyFunction(tx, functions, part.include, log);
    else await runFile(tx, `migration ${next?.name}`, part.text);
  if (next !== undefined) {
    await recordFile(tx, next.name, next.checksum);
    log(`applied ${next.name}`);
  }
  if (rest.length > 0) return false;
  await applyFunctions(tx, functions, log);
  return true;
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

/** The checksums of the applied files by name; empty without a schema. */
async function listSchemaFiles<T extends Record<string, unknown>>(
  sql: postgres.Sql<T>,
): Promise<ReadonlyMap<string, string>> {
  const [found] = await sql<{ exists: boolean }[]>`
    select to_regproc('public.list_schema_files') is not null as exists
  `;
  if (!found?.exists) return new Map();
  const rows = await sql<AppliedRow[]>`select name, checksum from list_schema_files()`;
  return new Map(rows.map(({ name, checksum }) => [name, checksum]));
}
