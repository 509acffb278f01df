import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { pathToFileURL } from 'node:url';
import postgres from 'postgres';
import { assertSchema, migrate, SchemaError } from '../src/db/migrate.ts';
import { type FreshDatabase, freshDatabase } from './kit/database.ts';

const MIGRATIONS = new URL('../sql/migrations/', import.meta.url);

describe('migrate', () => {
  let database: FreshDatabase;
  let admin: postgres.Sql;
  let service: postgres.Sql;
  const made: string[] = [];
  const folders: string[] = [];

  before(async () => {
    database = await freshDatabase();
    admin = postgres(database.ownerUrl, { max: 1, onnotice() {} });
    service = postgres(database.serviceUrl, { max: 1, onnotice() {} });
  });
  afterEach(async () => {
    for (const name of made.splice(0)) await admin`drop database ${admin(name)} with (force)`;
    for (const folder of folders.splice(0)) await rm(folder, { recursive: true });
  });
  after(async () => {
    await Promise.all([admin.end(), service.end()]);
    await database.close();
  });

  it('applies every file once, whoever else is migrating the same database or another of the cluster', async () => {
    const urls = [await emptyDatabase(), await emptyDatabase(), await emptyDatabase()];
    const lines: string[] = [];
    const log = (line: string) => lines.push(line);
    await Promise.all([...urls, ...urls, ...urls].map((url) => migrate(url, { log })));
    const counts = Map.groupBy(lines, (line) => line);
    assert.ok(counts.size >= 12);
    for (const [line, times] of counts) assert.equal(times.length, urls.length, line);
    assert.ok(lines.includes('applied 001_create_channels_table.sql'));

    const again: string[] = [];
    for (const url of urls) await migrate(url, { log: (line) => again.push(line) });
    assert.deepEqual(again, []);
  });

  it('leaves nothing of a migration that fails, and goes on from there', async () => {
    const url = await emptyDatabase();
    const broken = await folderWith({ '900_break.sql': 'create table half (id int); select 1 / 0;' });
    await assert.rejects(migrate(url, { folder: broken }), /900_break\.sql failed: division by zero/);
    const mended = await folderWith({ '900_break.sql': 'create table half (id int);' });
    await migrate(url, { folder: mended });
  });

  it('refuses a database that a newer build has migrated', async () => {
    const url = await emptyDatabase();
    await migrate(url, { folder: await folderWith({ '900_newer.sql': 'select 1;' }) });
    await assert.rejects(migrate(url), (error) =>
      isSchemaError(error, /900_newer\.sql, which this build does not know/),
    );
    const sql = postgres(url, { max: 1 });
    await assert.rejects(assertSchema(sql), (error) =>
      isSchemaError(error, /not of this build \(900_newer\.sql/),
    );
    await sql.end();
  });

  it('refuses a migration that was changed after it was applied', async () => {
    const url = await emptyDatabase();
    await migrate(url, { folder: await folderWith({ '900_mine.sql': 'select 1;' }) });
    const changed = await folderWith({ '900_mine.sql': 'select 2;' });
    await assert.rejects(migrate(url, { folder: changed }), (error) =>
      isSchemaError(error, /900_mine\.sql was changed/),
    );
  });

  it('refuses a migration that comes before one that is applied', async () => {
    const url = await emptyDatabase();
    await migrate(url, { folder: await folderWith({ '901_mine.sql': 'select 1;' }) });
    const late = await folderWith({ '900_late.sql': 'select 1;', '901_mine.sql': 'select 1;' });
    await assert.rejects(migrate(url, { folder: late }), (error) =>
      isSchemaError(error, /900_late\.sql comes before/),
    );
  });

  it('lets the service start on the schema of its build only', async () => {
    await assertSchema(service);
    const newer = await folderWith({ '900_newer.sql': 'select 1;' });
    await assert.rejects(assertSchema(service, newer), (error) =>
      isSchemaError(error, /older than this build/),
    );
    const sql = postgres(await emptyDatabase(), { max: 1 });
    await assert.rejects(assertSchema(sql), (error) => isSchemaError(error, /no schema yet/));
    await sql.end();
  });

  async function emptyDatabase(): Promise<string> {
    const url = new URL(database.ownerUrl);
    const name = `${url.pathname.slice(1)}_${randomBytes(3).toString('hex')}`;
    await admin`create database ${admin(name)} template template0`;
    made.push(name);
    url.pathname = `/${name}`;
    return url.href;
  }

  async function folderWith(files: Record<string, string>): Promise<URL> {
    const folder = await mkdtemp(join(tmpdir(), 'migrations-'));
    folders.push(folder);
    await cp(MIGRATIONS, folder, { recursive: true });
    for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
    return pathToFileURL(`${folder}/`);
  }
});

function isSchemaError(error: unknown, message: RegExp): boolean {
  assert.ok(error instanceof SchemaError);
  assert.match(error.message, message);
  return true;
}
