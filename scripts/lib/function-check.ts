import type postgres from 'postgres';
import type { FunctionFile, SchemaFiles } from '../../src/db/schema-files.ts';

type DatabaseObject = { name: string; signature: string; definition: string };

// Where a sequential scan is the only plan, `enable_seqscan = off` adds 10,000,000,000 to its cost. PostgreSQL then compiles the
// plan for each execution, which took 50 ms for a table of one row.
const NO_SCANS = 'set enable_seqscan = off';
const NO_JIT = 'set jit = off';

/**
 * Compares the functions and views of a migrated database with the files of sql/functions/: each object must come from
 * one file, and each file must define the one object of its name, as the database has it. Returns one line per problem.
 */
export async function checkFunctions(
  sql: postgres.Sql,
  functions: SchemaFiles['functions'],
): Promise<string[]> {
  const problems: string[] = [];
  const found = await listObjects(sql, false);
  for (const [name, objects] of Map.groupBy(found, (object) => object.name)) {
    const list = objects.map(({ signature }) => signature).join(', ');
    if (!functions.has(name)) problems.push(`${list}: in the database and in no file; drop it or add a file`);
    else if (objects.length > 1) problems.push(`${list}: drop the old signature in a migration`);
  }
  for (const file of functions.values()) {
    const before = found.filter(({ name }) => name === file.object);
    if (before.length === 0) problems.push(`${file.name}: not in the database`);
    else problems.push(...(await checkFile(sql, file, before)));
    if (file.text.includes(NO_SCANS) && !file.text.includes(NO_JIT))
      problems.push(`${file.name}: \`${NO_SCANS}\` also needs \`${NO_JIT}\``);
  }
  return problems;
}

/** Applies a file once more, in a transaction that is rolled back, and looks at what that changes. */
async function checkFile(
  sql: postgres.Sql,
  file: FunctionFile,
  before: readonly DatabaseObject[],
): Promise<string[]> {
  const defined = await applyAndRollBack(sql, file);
  const others = defined.filter(({ name }) => name !== file.object).map(({ signature }) => signature);
  const problems = others.length === 0 ? [] : [`${file.name}: also defines ${others.join(', ')}`];
  const own = defined.find(({ name }) => name === file.object);
  if (own === undefined) problems.push(`${file.name}: does not define ${file.object}`);
  else if (!before.some(({ definition }) => definition === own.definition))
    problems.push(`${file.name}: the database has another definition, made by a migration`);
  return problems;
}

async function applyAndRollBack(sql: postgres.Sql, file: FunctionFile): Promise<DatabaseObject[]> {
  const connection = await sql.reserve();
  try {
    await connection.unsafe(`begin; ${file.text}`).simple();
    return await listObjects(connection, true);
  } finally {
    await connection`rollback`;
    connection.release();
  }
}

/** Functions and views with all that a file states about them; not those of extensions. */
function listObjects(sql: postgres.Sql, fromThisTransaction: boolean): Promise<DatabaseObject[]> {
  const isOwn = (xmin: postgres.PendingQuery<postgres.Row[]>) =>
    fromThisTransaction
      ? sql`${xmin}::text = (pg_current_xact_id()::text::bigint % 4294967296)::text`
      : sql`true`;
  return sql<DatabaseObject[]>`
    select
      p.proname as name,
      p.oid::regprocedure::text as signature,
      concat_ws(E'\n', pg_get_functiondef(p.oid), p.proowner::regrole, p.proacl, obj_description(p.oid, 'pg_proc'))
        as definition
    from pg_proc p
    where p.pronamespace = 'public'::regnamespace
      and ${isOwn(sql`p.xmin`)}
      and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')
    union all
    select
      c.relname,
      c.oid::regclass::text,
      concat_ws(E'\n', pg_get_viewdef(c.oid), c.reloptions, c.relowner::regrole, c.relacl,
        obj_description(c.oid, 'pg_class'))
    from pg_class c
    where c.relnamespace = 'public'::regnamespace
      and c.relkind = 'v'
      and ${isOwn(sql`c.xmin`)}
  `;
}
