import postgres from 'postgres';
import { type FunctionFile, objectOf, SchemaError, type SchemaFiles } from './schema-files.ts';

type Tx = postgres.TransactionSql;
type Log = (line: string) => void;
type Functions = SchemaFiles['functions'];

/** Brings every function and view up to its file, and rejects those that no file defines any more. */
export async function applyFunctions(tx: Tx, functions: Functions, log: Log): Promise<void> {
  for (const object of functions.keys()) await applyFunction(tx, functions, object, log);
  await rejectStaleFunctions(tx, functions);
  await tx`delete from schema_migrations where name like 'functions/%' and name != all(${namesOf(functions)})`;
}

/** Applies one file, after those it needs, unless the database has it already. */
export async function applyFunction(
  tx: Tx,
  functions: Functions,
  object: string,
  log: Log,
  path: readonly string[] = [],
): Promise<void> {
  const file = functions.get(object);
  if (file === undefined) throw new Error(`sql/functions has no file for ${object}`);
  if (path.includes(object)) throw new Error(`functions need each other: ${[...path, object].join(', ')}`);
  if (await isCurrent(tx, file)) return;
  for (const needed of findNeeds(file, functions))
    await applyFunction(tx, functions, needed, log, [...path, object]);
  await runFile(tx, file.name, file.text);
  await recordFile(tx, file.name, file.checksum);
  log(`applied ${file.name}`);
}

export async function runFile(tx: postgres.Sql | Tx, name: string, text: string): Promise<void> {
  try {
    await tx.unsafe(text).simple();
  } catch (error) {
    throw new Error(`${name} failed: ${describe(error)}`, { cause: error });
  }
}

export async function recordFile(tx: Tx, name: string, checksum: string): Promise<void> {
  await tx`
    insert into schema_migrations (name, checksum, applied_at)
    values (${name}, ${checksum}, floor(extract(epoch from clock_timestamp()) * 1000)::bigint)
    on conflict (name) do update
    set checksum = excluded.checksum,
        applied_at = excluded.applied_at
  `;
}

/**
 * Functions and views that must exist before a file is applied: PostgreSQL resolves names when it creates a view or an SQL
 * function, in a plpgsql body only when they are reached.
 */
function findNeeds({ text, object }: FunctionFile, functions: Functions): string[] {
  const code = text.replaceAll(/--.*$/gm, '').replaceAll(/'(?:[^']|'')*'/g, '');
  const resolved = /\blanguage plpgsql\b/.test(code) ? code.replace(/\$\$.*\$\$/s, '') : code;
  const words = new Set(resolved.match(/\w+/g));
  return [...functions.keys()].filter((each) => each !== object && words.has(each));
}

// A migration that drops a function with cascade also drops the views and SQL functions that need it. Their files have
// not changed, so the checksum alone is not enough.
async function isCurrent(tx: Tx, file: FunctionFile): Promise<boolean> {
  const rows = await tx`
    select
    from schema_migrations m
    where m.name = ${file.name}
      and m.checksum = ${file.checksum}
      and (to_regproc(${`public.${file.object}`}) is not null or to_regclass(${`public.${file.object}`}) is not null)
  `;
  return rows.length > 0;
}

async function rejectStaleFunctions(tx: Tx, functions: Functions): Promise<void> {
  const objects = [...functions.keys()];
  const applied = await tx<{ name: string }[]>`
    select name from schema_migrations where name like 'functions/%' and name != all(${namesOf(functions)})
  `;
  const removed = applied.map(({ name }) => objectOf(name)).filter((object) => !functions.has(object));
  const stale = await tx<{ signature: string }[]>`
    select p.oid::regprocedure::text as signature
    from pg_proc p
    where p.pronamespace = 'public'::regnamespace
      and (
        p.proname = any(${removed})
        or (
          p.proname = any(${objects})
          and exists (
            select
            from pg_proc o
            where o.pronamespace = p.pronamespace and o.proname = p.proname and o.oid != p.oid
          )
        )
      )
    union all
    select c.oid::regclass::text
    from pg_class c
    where c.relnamespace = 'public'::regnamespace
      and c.relkind = 'v'
      and c.relname = any(${removed})
  `;
  if (stale.length === 0) return;
  const list = stale.map(({ signature }) => signature).join(', ');
  throw new SchemaError(
    `no file defines these, or another signature of them: ${list}; drop the old in a migration`,
  );
}

function namesOf(functions: Functions): string[] {
  return [...functions.values()].map(({ name }) => name);
}

function describe(error: unknown): string {
  if (!(error instanceof postgres.PostgresError)) return String(error);
  return [error.message, error.detail, error.where].filter(Boolean).join('; ');
}
