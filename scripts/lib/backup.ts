import { randomUUID } from 'node:crypto';
import { appendFile, chown, mkdir, stat, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import postgres from 'postgres';
import { copyTree } from './copy-tree.ts';

// Folders whose content is not copied.
const CREATED = [
  'pg_wal',
  'pg_replslot',
  'pg_dynshmem',
  'pg_notify',
  'pg_serial',
  'pg_snapshots',
  'pg_stat_tmp',
  'pg_subtrans',
];

// What a server creates again, or must not find (documentation of pg_backup_start).
const SKIPPED = new RegExp(
  `^(?:${CREATED.join('|')})/|(?:^|/)pgsql_tmp|(?:^|/)pg_internal\\.init|^postmaster\\.(?:pid|opts)$`,
);

/** Settings of a server whose WAL is archived in a folder. A full file is archived at once, others after a minute. */
export function archiveSettings(archive: string): readonly string[] {
  const folder = resolve(archive);
  return [
    'wal_level=replica',
    'archive_mode=on',
    'archive_timeout=60',
    `archive_command=test ! -f ${folder}/%f && cp %p ${folder}/.%f && mv ${folder}/.%f ${folder}/%f`,
  ];
}

/**
 * Copies the data directory of a running server of this machine. The copy can be restored only together with the WAL that
 * the server archived during the copy and after it.
 */
export async function baseBackup(url: string, target: string): Promise<void> {
  const sql = postgres(url, { max: 1, idle_timeout: 0, onnotice() {} });
  try {
    const [row] = await sql<{ folder: string; mode: string }[]>`
      select current_setting('data_directory') as folder, current_setting('archive_mode') as mode
    `;
    if (row === undefined || row.mode === 'off')
      throw new Error('the server does not archive its WAL (archive_mode)');
    // Both functions must be called on the same connection.
    await sql`select pg_backup_start('discuss', true)`;
    await copyTree(row.folder, target, (path) => SKIPPED.test(path));
    const [end] = await sql<{ labelfile: string }[]>`select labelfile from pg_backup_stop(true)`;
    await writeFile(join(target, 'backup_label'), end?.labelfile ?? '');
  } finally {
    await sql.end();
  }
}

/** The last state, or that of a restore point (pg_create_restore_point) or a time. */
export type RecoveryTarget =
  | { readonly kind: 'latest' }
  | { readonly kind: 'name' | 'time'; readonly value: string };

/** Makes a data directory from a base backup. A server that starts with it recovers to the target, then accepts writes. */
export async function restoreBackup(
  backup: string,
  archive: string,
  dataDir: string,
  target: RecoveryTarget,
): Promise<void> {
  await copyTree(backup, dataDir);
  for (const folder of CREATED) await mkdir(join(dataDir, folder), { recursive: true, mode: 0o700 });
  const settings = [
    `restore_command = 'cp ${resolve(archive)}/%f %p'`,
    ...(target.kind === 'latest'
      ? []
      : [`recovery_target_${target.kind} = '${target.value.replaceAll("'", "''")}'`]),
    "recovery_target_action = 'promote'",
    // By which the service recognizes the restore: database_identity().
    `discuss.restore_id = '${randomUUID()}'`,
  ];
  await appendFile(join(dataDir, 'postgresql.auto.conf'), `\n${settings.join('\n')}\n`);
  await writeFile(join(dataDir, 'recovery.signal'), '');
  await ownAs(backup, [
    dataDir,
    ...CREATED.map((name) => join(dataDir, name)),
    join(dataDir, 'recovery.signal'),
  ]);
}

// PostgreSQL requires that the data directory belongs to its user.
async function ownAs(model: string, paths: readonly string[]): Promise<void> {
  if (process.getuid?.() !== 0) return;
  const { uid, gid } = await stat(model);
  for (const path of paths) await chown(path, uid, gid);
}
