// Writes sql/schema.sql from a freshly migrated database; with --check only says whether it is up to date.
import { readFileSync, writeFileSync } from 'node:fs';
import postgres from 'postgres';
import { migrate } from '../src/db/migrate.ts';
import { withPostgres } from './lib/postgres.ts';
import { describeSchema } from './lib/schema-text.ts';

const FILE = new URL('../sql/schema.sql', import.meta.url);

const fresh = await withPostgres(async (ownerUrl) => {
  await migrate(ownerUrl);
  const sql = postgres(ownerUrl, { max: 1, onnotice() {} });
  try {
    return await describeSchema(sql);
  } finally {
    await sql.end();
  }
});

if (process.argv.includes('--check')) check(fresh);
else writeFileSync(FILE, fresh);

function check(wanted: string): void {
  const found = readFile();
  if (found === wanted) return;
  const lines = wanted.split('\n');
  const old = found.split('\n');
  const first = lines.findIndex((line, index) => line !== old[index]);
  console.error('sql/schema.sql is not what the migrations make: run make schema. The first difference:');
  console.error(`  line ${first + 1}`);
  console.error(`- ${old[first] ?? '(end of file)'}`);
  console.error(`+ ${lines[first] ?? '(end of file)'}`);
  process.exitCode = 1;
}

function readFile(): string {
  try {
    return readFileSync(FILE, 'utf8');
  } catch {
    return '';
  }
}
