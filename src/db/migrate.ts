import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import postgres from 'postgres';

export type MigrateOptions = {
  /** Told each migration as it is applied. */
  readonly log?: (line: string) => void;
  /** Where the migrations are; tests give a folder of their own. */
  readonly folder?: URL;
};

type Migration = { readonly name: string; readonly text: string; readonly checksum: string };

type AppliedRow = { name: string; checksum: string };

const FOLDER = new URL('../../sql/migrations/', import.meta.url);
const OLDEST_SERVER = 150_000;

/**
 * Brings the database up to this build, each migration in a transaction of its own. Safe to call from many
 * processes at once. Refuses a database that a newer build has migrated, and one whose applied migrations
 * are not those of this build.
 */
export async function migrate(ownerUrl: string, options: MigrateOptions = {}): Promise<void> {
  const { log = () => {}, folder = FOLDER } = options;
  const migrations = readMigrations(folder);
  const sql = postgres(ownerUrl, {
    max: 1,
    onnotice() {},
    connection: { application_name: 'discuss/migrate' },
  });
  try {
    await checkServer(sql);
    for (;;) {
      const applied = await sql.begin((tx) => applyNext(tx, migrations));
      if (applied === undefined) return;
      log(`applied ${applied}`);
    }
  } finally {
    await sql.end();
  }
}

/** Refuses to start on a schema that is not the one this build was made for; `sql` may be the service's role. */
export async function assertSchema<T extends Record<string, unknown>>(
  sql: postgres.Sql<T>,
  folder: URL = FOLDER,
): Promise<void> {
  const migrations = readMigrations(folder);
  const wanted = migrations.at(-1)?.name;
  const found = await findSchemaVersion(sql);
  if (found === wanted) return;
  if (found === undefined) throw new SchemaError('the database has no schema yet: run make migrate');
  const known = migrations.some((migration) => migration.name === found);
  throw new SchemaError(
    known
      ? `the schema is older than this build (${found}, wanted ${wanted}): run make migrate`
      : `the schema is not of this build (${found}, wanted ${wanted}): run the build that migrated it, or a newer one`,
  );
}

/** Refuses a login that row-level security does not hold: one that owns tables or may pass by the policies. */
export async function assertServiceRole<T extends Record<string, unknown>>(
  sql: postgres.Sql<T>,
): Promise<void> {
  const [role] = await sql<{ name: string; bypasses: boolean; owns: boolean }[]>`
    select
      r.rolname as name,
      r.rolsuper or r.rolbypassrls as bypasses,
      exists (select 1 from pg_class c where pg_has_role(c.relowner, 'member') and c.relname = 'messages') as owns
    from pg_roles r
    where r.rolname = current_user
  `;
  if (role?.bypasses !== false || role.owns)
    throw new SchemaError(
      `the login ${role?.name} must be a plain member of discuss_service, see docs/schema-notes.md`,
    );
}

/** The database and this build do not fit together; trying again does not help. */
export class SchemaError extends Error {
  override readonly name = 'SchemaError';
}

function readMigrations(folder: URL): Migration[] {
  return readdirSync(folder)
    .filter((name) => /^\d{3}_\w+\.sql$/.test(name))
    .sort()
    .map((name) => {
      const text = readFileSync(new URL(name, folder), 'utf8');
      return { name, text, checksum: createHash('sha256').update(text).digest('hex') };
    });
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

/** Applies the first migration that is missing and returns its name. */
async function applyNext(
  tx: postgres.TransactionSql,
  migrations: readonly Migration[],
): Promise<string | undefined> {
  // A lock of the transaction, not of the session: it cannot outlive a lost connection or confuse a pooler.
  await tx`select pg_advisory_xact_lock(hashtext('discuss.migrate'))`;
  await createTable(tx);
  const next = findNext(migrations, await listApplied(tx));
  if (next === undefined) return undefined;
  try {
    await tx.unsafe(next.text).simple();
  } catch (error) {
    throw new Error(`migration ${next.name} failed: ${describe(error)}`, { cause: error });
  }
  await tx`
    insert into schema_migrations (name, checksum, applied_at)
    values (${next.name}, ${next.checksum}, floor(extract(epoch from clock_timestamp()) * 1000)::bigint)
  `;
  return next.name;
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
    comment on table schema_migrations is 'Migrations applied to this database, in the order of their names.';
    comment on column schema_migrations.name is 'File name of the migration.';
    comment on column schema_migrations.checksum is 'SHA-256 of the file as it was applied.';
    comment on column schema_migrations.applied_at is 'When it was applied, epoch ms.';
  `);
}

async function listApplied(tx: postgres.TransactionSql): Promise<AppliedRow[]> {
  return tx<AppliedRow[]>`
    select name, checksum
    from schema_migrations
    order by name
  `;
}

function findNext(migrations: readonly Migration[], applied: readonly AppliedRow[]): Migration | undefined {
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
  return migrations[applied.length];
}

async function findSchemaVersion<T extends Record<string, unknown>>(
  sql: postgres.Sql<T>,
): Promise<string | undefined> {
  const [found] = await sql<{ exists: boolean }[]>`
    select to_regproc('public.schema_version') is not null as exists
  `;
  if (!found?.exists) return undefined;
  const [row] = await sql<{ version: string | null }[]>`select schema_version() as version`;
  return row?.version ?? undefined;
}

function describe(error: unknown): string {
  if (!(error instanceof postgres.PostgresError)) return String(error);
  return [error.message, error.detail, error.where].filter(Boolean).join('; ');
}
