// Writes sql/schema.sql from a freshly migrated database. With --check it only compares: sql/schema.sql must be up to
// date, and each function and view must be as its file in sql/functions/ defines it.
import { readFileSync, writeFileSync } from 'node:fs';
import postgres from 'postgres';
import { migrate } from '../src/db/migrate.ts';
import { readSchemaFiles } from '../src/db/schema-files.ts';
import { checkFunctions } from './lib/function-check.ts';
import { withPostgres } from './lib/postgres.ts';
import { describeSchema } from './lib/schema-text.ts';

const FILE = new URL('../sql/schema.sql', import.meta.url);

const isCheck = process.argv.includes('--check');

await withPostgres(async (ownerUrl) => {
  await migrate(ownerUrl);
  const sql = postgres(ownerUrl, { max: 1, onnotice() {} });
  try {
    const fresh = await describeSchema(sql);
    if (!isCheck) return writeFileSync(FILE, fresh);
    check(fresh);
    const problems = await checkFunctions(sql, readSchemaFiles().functions);
    for (const problem of problems) console.error(problem);
    if (problems.length > 0) process.exitCode = 1;
  } finally {
    await sql.end();
  }
});

function check(wanted: string): void {
  const found = readFile();
  if (found === wanted) return;
  const lines = wanted.split('\n');
  const old = found.split('\n');
  const first = lines.findIndex((line, index) => line !== old[index]);
  console.error('sql/schema.sql differs from the migrated schema: run make schema. The first difference:');
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
