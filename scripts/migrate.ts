import { migrate } from '../src/db/migrate.ts';
import { SchemaError } from '../src/db/schema-files.ts';

const url = process.env['DATABASE_OWNER_URL'];
if (url === undefined || url === '') {
  console.error('DATABASE_OWNER_URL is not set: the database to migrate, as the role that owns the schema');
  process.exit(2);
}

let count = 0;
try {
  await migrate(url, {
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
