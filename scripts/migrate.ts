import { ConfigError, toMigrationConfig } from '../src/config.ts';
import { migrate } from '../src/db/migrate.ts';
import { SchemaError } from '../src/db/schema-files.ts';

let count = 0;
try {
  const { ownerUrl, startupTimeoutMs } = toMigrationConfig(process.env);
  await migrate(ownerUrl, {
    timeoutMs: startupTimeoutMs,
    warn: (line) => console.error(line),
    log(line) {
      count += 1;
      console.log(line);
    },
  });
  console.log(count === 0 ? 'nothing to apply' : `${count} applied`);
} catch (error) {
  console.error(error instanceof SchemaError || error instanceof ConfigError ? error.message : error);
  process.exitCode = 1;
}
