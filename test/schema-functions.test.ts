// The files of sql/functions/: each defines one function or view, and the database has exactly these.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import postgres from 'postgres';
import { checkFunctions } from '../scripts/lib/function-check.ts';
import { migrate } from '../src/db/migrate.ts';
import { readSchemaFiles, SchemaError } from '../src/db/schema-files.ts';
import { openScratch, type Scratch } from './kit/schema-scratch.ts';

const ONE = 'functions/poll/one.sql';
const TWO = 'functions/poll/two.sql';

describe('function files', () => {
  let scratch: Scratch;

  before(async () => {
    scratch = await openScratch();
  });
  afterEach(() => scratch.clear());
  after(() => scratch.close());

  it('are applied again when their text changed, and no others', async () => {
    const url = await scratch.emptyDatabase();
    await apply(url, { [ONE]: define('one', '1'), [TWO]: define('two', '2') });
    const lines = await apply(url, { [ONE]: define('one', '11'), [TWO]: define('two', '2') });
    assert.deepEqual(lines, [`applied ${ONE}`]);
    assert.deepEqual(await query(url, 'select one(), two()'), [{ one: 11, two: 2 }]);
    assert.deepEqual(await apply(url, { [ONE]: define('one', '11'), [TWO]: define('two', '2') }), []);
  });

  it('are applied after the files they need, whatever their names', async () => {
    const url = await scratch.emptyDatabase();
    const lines = await apply(url, {
      [ONE]: `create or replace view one as select two() as two;`,
      [TWO]: define('two', 'three() + 1'),
      'functions/search/three.sql': define('three', '3'),
    });
    const order = lines.filter((line) => /(one|two|three)\.sql/.test(line));
    assert.deepEqual(order, ['applied functions/search/three.sql', `applied ${TWO}`, `applied ${ONE}`]);
    assert.deepEqual(await query(url, 'select two from one'), [{ two: 4 }]);
  });

  it('that need each other are rejected', async () => {
    const url = await scratch.emptyDatabase();
    const cycle = apply(url, { [ONE]: define('one', 'two()'), [TWO]: define('two', 'one()') });
    await assert.rejects(cycle, /functions need each other: one, two, one/);
  });

  it('are created again after a migration dropped what they need, although they have not changed', async () => {
    const url = await scratch.emptyDatabase();
    const view = {
      'functions/poll/numbers.sql': 'create or replace view numbers as select one() as number;',
    };
    await apply(url, { ...view, [ONE]: define('one', '1') });
    const lines = await apply(url, {
      ...view,
      [ONE]: define('one', `'one'`, 'text'),
      'migrations/900_return_text.sql': 'drop function one() cascade;',
    });
    assert.deepEqual(lines, [
      'applied 900_return_text.sql',
      `applied ${ONE}`,
      'applied functions/poll/numbers.sql',
    ]);
    assert.deepEqual(await query(url, 'select number from numbers'), [{ number: 'one' }]);
  });

  it('are applied where a migration includes them, and moving that line does not change the migration', async () => {
    const url = await scratch.emptyDatabase();
    const include = '\\ir ../functions/poll/one.sql\n';
    const lines = await apply(url, {
      [ONE]: define('one', '1'),
      'migrations/900_use.sql': `create table uses (id int);\n${include}alter table uses add check (id = one());`,
    });
    assert.ok(lines.indexOf(`applied ${ONE}`) < lines.indexOf('applied 900_use.sql'));
    assert.equal(lines.filter((line) => line === `applied ${ONE}`).length, 1);
    const moved = await apply(url, {
      [ONE]: define('one', '1'),
      'migrations/900_use.sql': 'create table uses (id int);\nalter table uses add check (id = one());',
    });
    assert.deepEqual(moved, []);
  });

  it('that are gone must have been dropped by a migration, and so must old signatures', async () => {
    const url = await scratch.emptyDatabase();
    await apply(url, { [ONE]: define('one', '1') });
    await assert.rejects(apply(url, {}), (error) => isSchemaError(error, /: one\(\); drop the old/));
    const signature = { [ONE]: define('one', '1').replaceAll('one()', 'one(_i int)') };
    await assert.rejects(apply(url, signature), (error) =>
      isSchemaError(error, /one\(\), one\(integer\); drop the old/),
    );
    const dropped = { ...signature, 'migrations/900_drop.sql': 'drop function one();' };
    assert.deepEqual(await apply(url, dropped), ['applied 900_drop.sql', `applied ${ONE}`]);
    await apply(url, {
      'migrations/900_drop.sql': 'drop function one();',
      'migrations/901_drop.sql': 'drop function one(int);',
    });
    const rows = await query(url, `select name from schema_migrations where name = '${ONE}'`);
    assert.deepEqual(rows, []);
  });

  it('leave the migration unapplied when one of them fails', async () => {
    const url = await scratch.emptyDatabase();
    await apply(url, {});
    const files = { 'migrations/900_more.sql': 'create table more (id int);', [ONE]: define('one', 'two()') };
    await assert.rejects(
      apply(url, files),
      /functions\/poll\/one\.sql failed: function two\(\) does not exist/,
    );
    assert.deepEqual(await query(url, `select to_regclass('more') as found`), [{ found: null }]);
  });

  it('are what the database has: a stale, missing, extra or redefined function fails the check', async () => {
    const url = await scratch.emptyDatabase();
    const folder = await scratch.folderWith({
      [ONE]: define('one', '1'),
      [TWO]: `${define('two', '2')}${define('three', '3')}`,
      'migrations/900_other.sql': [
        'create function stale() returns int language sql return 1;',
        'create view old_view as select 1 as number;',
        'create function one(_i int) returns int language sql return 1;',
        '\\ir ../functions/poll/two.sql',
        `${define('two', '22')}`,
      ].join('\n'),
    });
    await assert.rejects(migrate(url, { folder }), (error) => isSchemaError(error, /one\(integer\)/));
    const repaired = await scratch.folderWith({
      [ONE]: define('one', '1'),
      [TWO]: `${define('two', '2')}${define('three', '3')}`,
      'migrations/900_other.sql': [
        'create function stale() returns int language sql return 1;',
        'create view old_view as select 1 as number;',
        '\\ir ../functions/poll/two.sql',
        `${define('two', '22')}`,
      ].join('\n'),
    });
    await migrate(url, { folder: repaired });
    const { functions } = readSchemaFiles(repaired);
    const sql = postgres(url, { max: 1, onnotice() {} });
    try {
      await sql.unsafe(
        'create function one(_i int) returns int language sql return 1; drop function now_ms() cascade',
      );
      const problems = await checkFunctions(sql, functions);
      for (const problem of [
        'stale(): in the database and in no file; drop it or add a file',
        'old_view: in the database and in no file; drop it or add a file',
        'one(), one(integer): drop the old signature in a migration',
        'functions/db/now_ms.sql: not in the database',
        `${TWO}: also defines three()`,
        `${TWO}: the database has another definition, made by a migration`,
      ])
        assert.ok(problems.includes(problem), `${problem} is not in ${problems.join('\n')}`);
    } finally {
      await sql.end();
    }
  });

  it('of this build pass the check', async () => {
    const sql = postgres(scratch.database.ownerUrl, { max: 1, onnotice() {} });
    try {
      assert.deepEqual(await checkFunctions(sql, readSchemaFiles().functions), []);
    } finally {
      await sql.end();
    }
  });

  async function apply(url: string, files: Record<string, string>): Promise<string[]> {
    const lines: string[] = [];
    const folder = await scratch.folderWith(files);
    await migrate(url, { folder, log: (line) => lines.push(line) });
    return lines;
  }
});

function define(name: string, value: string, type = 'int'): string {
  return `create or replace function ${name}() returns ${type} language sql return ${value};\n`;
}

async function query(url: string, text: string): Promise<unknown[]> {
  const sql = postgres(url, { max: 1, onnotice() {} });
  try {
    const rows = await sql.unsafe(text);
    return rows.map((row) => ({ ...row }));
  } finally {
    await sql.end();
  }
}

function isSchemaError(error: unknown, message: RegExp): boolean {
  assert.ok(error instanceof SchemaError);
  assert.match(error.message, message);
  return true;
}
