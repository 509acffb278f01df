import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import postgres from 'postgres';
import { assertSchema } from '../src/db/assert-schema.ts';
import { migrate } from '../src/db/migrate.ts';
import { SchemaError } from '../src/db/schema-files.ts';
import { openScratch, type Scratch } from './kit/schema-scratch.ts';

describe('migrate', () => {
  let scratch: Scratch;
  let service: postgres.Sql;

  before(async () => {
    scratch = await openScratch();
    service = postgres(scratch.database.serviceUrl, { max: 1, onnotice() {} });
  });
  afterEach(() => scratch.clear());
  after(async () => {
    await service.end();
    await scratch.close();
  });

  it('applies every file once while other processes migrate the same database and others of the cluster', async () => {
    const urls = [
      await scratch.emptyDatabase(),
      await scratch.emptyDatabase(),
      await scratch.emptyDatabase(),
    ];
    const lines: string[] = [];
    const log = (line: string) => lines.push(line);
    await Promise.all([...urls, ...urls, ...urls].map((url) => migrate(url, { log })));
    const counts = Map.groupBy(lines, (line) => line);
    assert.ok(counts.size >= 100);
    for (const [line, times] of counts) assert.equal(times.length, urls.length, line);
    assert.ok(lines.includes('applied 001_create_channels_table.sql'));
    assert.ok(lines.includes('applied functions/message/send_messages.sql'));

    const again: string[] = [];
    for (const url of urls) await migrate(url, { log: (line) => again.push(line) });
    assert.deepEqual(again, []);
  });

  it('leaves nothing of a migration that fails, and continues from there', async () => {
    const url = await scratch.emptyDatabase();
    const broken = await scratch.folderWith({
      'migrations/900_break.sql': 'create table half (id int); select 1 / 0;',
    });
    await assert.rejects(migrate(url, { folder: broken }), /900_break\.sql failed: division by zero/);
    const repaired = await scratch.folderWith({
      'migrations/900_break.sql': 'create table half (id int);',
    });
    await migrate(url, { folder: repaired });
  });

  it('rejects a database that a newer build has migrated', async () => {
    const url = await scratch.emptyDatabase();
    const newer = await scratch.folderWith({ 'migrations/900_newer.sql': 'select 1;' });
    await migrate(url, { folder: newer });
    await assert.rejects(migrate(url), (error) =>
      isSchemaError(error, /900_newer\.sql, which this build does not know/),
    );
    const sql = postgres(url, { max: 1 });
    await assert.rejects(assertSchema(sql), (error) =>
      isSchemaError(error, /not of this build \(900_newer\.sql/),
    );
    await sql.end();
  });

  it('rejects a migration that was changed after it was applied', async () => {
    const url = await scratch.emptyDatabase();
    await migrate(url, { folder: await scratch.folderWith({ 'migrations/900_mine.sql': 'select 1;' }) });
    const changed = await scratch.folderWith({ 'migrations/900_mine.sql': 'select 2;' });
    await assert.rejects(migrate(url, { folder: changed }), (error) =>
      isSchemaError(error, /900_mine\.sql was changed/),
    );
  });

  it('rejects a migration that comes before an applied one', async () => {
    const url = await scratch.emptyDatabase();
    await migrate(url, { folder: await scratch.folderWith({ 'migrations/901_mine.sql': 'select 1;' }) });
    const late = await scratch.folderWith({
      'migrations/900_late.sql': 'select 1;',
      'migrations/901_mine.sql': 'select 1;',
    });
    await assert.rejects(migrate(url, { folder: late }), (error) =>
      isSchemaError(error, /900_late\.sql comes before/),
    );
  });

  it('lets the service start on the schema of its own build only', async () => {
    await assertSchema(service);
    const newer = await scratch.folderWith({ 'migrations/900_newer.sql': 'select 1;' });
    await assert.rejects(assertSchema(service, newer), (error) =>
      isSchemaError(error, /older than this build/),
    );
    const changed = await scratch.folderWith({
      'functions/db/now_ms.sql': '-- another build\n',
      'functions/db/mine.sql': '-- another build\n',
    });
    await assert.rejects(assertSchema(service, changed), (error) =>
      isSchemaError(error, /differ from this build \(functions\/db\/mine\.sql, functions\/db\/now_ms\.sql\)/),
    );
    const fewer = await scratch.folderWith({ 'functions/poll/poll_results.sql': null });
    await assert.rejects(assertSchema(service, fewer), (error) =>
      isSchemaError(error, /differ from this build \(functions\/poll\/poll_results\.sql\)/),
    );
    const sql = postgres(await scratch.emptyDatabase(), { max: 1 });
    await assert.rejects(assertSchema(sql), (error) => isSchemaError(error, /no schema yet/));
    await sql.end();
  });
});

function isSchemaError(error: unknown, message: RegExp): boolean {
  assert.ok(error instanceof SchemaError);
  assert.match(error.message, message);
  return true;
}
