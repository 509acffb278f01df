import { migrate } from '../src/db/migrate.ts';
import { SchemaError } from '../src/db/schema-files.ts';
import { reader } from '../src/env-reader.ts';

const problems: string[] = [];
const read = reader(process.env, problems);
// The database to migrate, as the role that owns the schema.
const url = read.text('DATABASE_OWNER_URL');
const timeoutMs = read.count('DATABASE_STARTUP_TIMEOUT_MS', 60_000);
if (problems.length > 0) {
  console.error(problems.join('\n'));
  process.exit(2);
}

let count = 0;
try {
  await migrate(url, {
    timeoutMs,
    warn: (line) => console.error(line),
    log(line) {
      count += 1;
      console.log(line);
    },
  });
  console.log(count === 0 ? 'nothing to apply' : `${count} applied`);
} catch (error) {
  console.error(error instanceof SchemaError ? error.message : error);
  process.exitCode = 1;
}
