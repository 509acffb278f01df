import type postgres from 'postgres';
import { readSchemaFiles, SchemaError } from './schema-files.ts';
import { compareVersions, SCHEMA_VERSION, type SchemaVersion } from './schema-version.ts';

type Sql<T extends Record<string, unknown>> = postgres.Sql<T>;

/** The version of a schema and the oldest build that can run on it. */
export type FoundVersion = { readonly version: string; readonly oldestBuild: string };

/**
 * Rejects a schema that this build cannot run on; `sql` may be the service's role. Of a schema of its own version, all
 * files must be those of the build.
 */
export async function assertSchema<T extends Record<string, unknown>>(
  sql: Sql<T>,
  folder?: URL,
  build: SchemaVersion = SCHEMA_VERSION,
): Promise<void> {
  const found = await findSchemaVersion(sql);
  if (found === undefined) throw new SchemaError('the database has no schema yet: run make migrate');
  const difference = compareVersions(found.version, build.version);
  if (difference === 0) return assertFiles(sql, folder);
  if (difference > 0) return assertCanRun(build, found);
  if (compareVersions(found.version, build.oldestSchema) < 0)
    throw new SchemaError(
      `the schema is older than this build (${found.version}, wanted ${build.oldestSchema} or newer): run make migrate`,
    );
}

/** Rejects a newer schema that builds as old as this one cannot run on. */
export function assertCanRun(build: SchemaVersion, found: FoundVersion): void {
  if (compareVersions(build.version, found.oldestBuild) < 0)
    throw new SchemaError(
      `the schema of version ${found.version} needs builds from ${found.oldestBuild} on, this one is ${build.version}`,
    );
}

/** Undefined without a schema. */
export async function findSchemaVersion<T extends Record<string, unknown>>(
  sql: Sql<T>,
): Promise<FoundVersion | undefined> {
  const [known] = await sql<{ exists: boolean }[]>`
    select to_regproc('public.schema_version') is not null as exists
  `;
  if (known?.exists !== true) return undefined;
  const [row] = await sql<{ version: string; oldest: string }[]>`
    select version, oldest_build as oldest from schema_version()
  `;
  return row && { version: row.version, oldestBuild: row.oldest };
}

async function assertFiles<T extends Record<string, unknown>>(sql: Sql<T>, folder?: URL): Promise<void> {
  const { migrations, functions } = readSchemaFiles(folder);
  const applied = await listSchemaFiles(sql);
  const wanted = migrations.at(-1)?.name;
  const found = [...applied.keys()]
    .filter((name) => !name.startsWith('functions/'))
    .sort()
    .at(-1);
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
export async function assertServiceRole<T extends Record<string, unknown>>(sql: Sql<T>): Promise<void> {
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

/** The checksums of the applied files by name. */
async function listSchemaFiles<T extends Record<string, unknown>>(
  sql: Sql<T>,
): Promise<ReadonlyMap<string, string>> {
  const rows = await sql<
    { name: string; checksum: string }[]
  >`select name, checksum from list_schema_files()`;
  return new Map(rows.map(({ name, checksum }) => [name, checksum]));
}
