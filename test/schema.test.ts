// The schema compared with the customer's document. docs/schema-notes.md lists the departures from the document and the
// reason for each.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import postgres from 'postgres';
import { type FreshDatabase, freshDatabase } from './kit/database.ts';
import {
  documentedColumns,
  documentedConstraints,
  documentedIndexes,
  documentedTriggers,
  documentedViews,
} from './schema-document.ts';

describe('the schema', () => {
  let database: FreshDatabase;
  let owner: postgres.Sql;

  before(async () => {
    database = await freshDatabase();
    owner = postgres(database.ownerUrl, { max: 1, onnotice() {} });
  });
  after(async () => {
    await owner.end();
    await database.close();
  });

  it('has every column of the document with its type and default', async () => {
    for (const [table, columns] of Object.entries(documentedColumns)) {
      const rows = await owner<{ line: string }[]>`
        select concat_ws(' ', a.attname, format_type(a.atttypid, a.atttypmod), pg_get_expr(d.adbin, d.adrelid)) as line
        from pg_attribute a
        left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum and a.attgenerated = ''
        where a.attrelid = ${table}::regclass
      `;
      const found = new Set(rows.map(({ line }) => line));
      for (const column of columns) assert.ok(found.has(column), `${table} lacks ${column}`);
    }
  });

  it('has every constraint of the document', async () => {
    const rows = await owner<{ name: string; definition: string }[]>`
      select conrelid::regclass || '.' || conname as name, pg_get_constraintdef(oid) as definition
      from pg_constraint
      where connamespace = 'public'::regnamespace
    `;
    const found = new Map(rows.map((row) => [row.name, row.definition]));
    for (const [name, definition] of Object.entries(documentedConstraints))
      assert.equal(found.get(name), definition, name);
  });

  it('has every index of the document', async () => {
    const rows = await owner<{ name: string; definition: string }[]>`
      select n.relname as name, regexp_replace(pg_get_indexdef(n.oid), ' INDEX \\S+ ON (ONLY )?public\\.', ' ') as definition
      from pg_class n
      where n.relnamespace = 'public'::regnamespace
        and n.relkind in ('i', 'I')
    `;
    const found = new Map(rows.map((row) => [row.name, row.definition]));
    for (const [name, definition] of Object.entries(documentedIndexes))
      assert.equal(found.get(name), definition, name);
  });

  it('has every trigger of the document with its function', async () => {
    const rows = await owner<{ name: string }[]>`
      select format('%s on %s: %s', t.tgname, t.tgrelid::regclass, t.tgfoid::regproc) as name
      from pg_trigger t
      where not t.tgisinternal
    `;
    const found = rows.map(({ name }) => name);
    for (const trigger of documentedTriggers) assert.ok(found.includes(trigger), trigger);
  });

  it('has the views of the document with their columns', async () => {
    for (const [view, columns] of Object.entries(documentedViews)) {
      const rows = await owner<{ name: string }[]>`
        select attname as name
        from pg_attribute
        where attrelid = ${view}::regclass and attnum > 0
        order by attnum
      `;
      assert.deepEqual(
        rows.map(({ name }) => name),
        columns,
        view,
      );
    }
  });

  it('has a comment on every table, view, column and function', async () => {
    const rows = await owner`
      select c.relname as what
      from pg_class c
      where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v')
        and (not c.relispartition or c.relname like '%\\_default') and obj_description(c.oid, 'pg_class') is null
      union all
      select c.relname || '.' || a.attname
      from pg_class c
      join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
      where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
        and col_description(c.oid, a.attnum) is null
      union all
      select p.oid::regprocedure::text
      from pg_proc p
      where p.pronamespace = 'public'::regnamespace and obj_description(p.oid, 'pg_proc') is null
        and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')
    `;
    assert.deepEqual([...rows], []);
  });
});
