import { constants } from 'node:os';
import { ConfigError, toMigrationConfig } from '../src/config.ts';
import { SchemaError } from '../src/db/schema-files.ts';

// The first process of a container ignores signals without a handler. PostgreSQL rolls back what is not committed.
for (const signal of ['SIGTERM', 'SIGINT'] as const)
  process.once(signal, () => process.exit(128 + constants.signals[signal]));

let count = 0;
try {
  const { migrate } = await import('../src/db/migrate.ts');
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
