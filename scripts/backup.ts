// usage: npm run backup -- base FOLDER | restore BACKUP ARCHIVE DATA_DIRECTORY [name=POINT | time=TIME] | dump FILE
//
// `base` and `dump` connect to DATABASE_BACKUP_URL: a superuser, or for `dump` a role with bypassrls, because row-level
// security is forced on all tables. docs/operations.md describes the steps.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { baseBackup, type RecoveryTarget, restoreBackup } from './lib/backup.ts';

const [command, ...args] = process.argv.slice(2);
try {
  await run(command, args);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}

async function run(
  name: string | undefined,
  [first, second, third, target]: readonly string[],
): Promise<void> {
  if (name === 'base' && first !== undefined) await baseBackup(backupUrl(), first);
  else if (name === 'dump' && first !== undefined) await dump(backupUrl(), first);
  else if (name === 'restore' && first !== undefined && second !== undefined && third !== undefined)
    await restoreBackup(first, second, third, toTarget(target));
  else
    throw new Error(
      'usage: base FOLDER | restore BACKUP ARCHIVE DATA_DIRECTORY [name=POINT | time=TIME] | dump FILE',
    );
  console.log('done');
}

function backupUrl(): string {
  const url = process.env['DATABASE_BACKUP_URL'] ?? '';
  if (url === '') throw new Error('DATABASE_BACKUP_URL is not set');
  return url;
}

function toTarget(text: string | undefined): RecoveryTarget {
  if (text === undefined) return { kind: 'latest' };
  const [, kind, value = ''] = /^(name|time)=(.+)$/.exec(text) ?? [];
  if (kind === 'name' || kind === 'time') return { kind, value };
  throw new Error('the target must be name=POINT or time=TIME');
}

/** A logical dump by pg_dump, which the embedded PostgreSQL does not contain. */
async function dump(url: string, file: string): Promise<void> {
  const child = spawn('pg_dump', ['--format=custom', `--file=${file}`, `--dbname=${url}`], {
    stdio: 'inherit',
  });
  const [code] = await once(child, 'exit').catch((error: Error) => {
    throw new Error(`pg_dump cannot be run; install the client programs of PostgreSQL (${error.message})`);
  });
  if (code !== 0) throw new Error(`pg_dump ended with ${code}`);
}
