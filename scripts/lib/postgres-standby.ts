import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import postgres from 'postgres';
import { giveToServer, type Postgres, startPostgres } from './postgres.ts';
import { waitUntil } from './processes.ts';

const NAME = 'standby1';
const STREAMING_MS = 30_000;
const PROMOTION_MS = 30_000;

/** Copies the data of a running server, and starts a standby that it waits for with every commit. */
export async function startSynchronousStandby(
  primary: Pick<Postgres, 'url' | 'port'>,
  primaryDir: string,
  standby: { readonly dataDir: string; readonly port: number },
): Promise<Postgres> {
  const sql = postgres(primary.url, { max: 1, onnotice() {} });
  try {
    await sql`select pg_create_physical_replication_slot(${NAME}, true)`;
    await copyData(sql, primaryDir, standby.dataDir);
    const { username, password } = new URL(primary.url);
    const connection = `host=127.0.0.1 port=${primary.port} user=${username} password=${password} application_name=${NAME}`;
    const server = await startPostgres({
      ...standby,
      durable: true,
      settings: [`primary_conninfo=${connection}`, `primary_slot_name=${NAME}`],
    });
    await sql.unsafe(`alter system set synchronous_standby_names = '${NAME}'`);
    await sql`select pg_reload_conf()`;
    await waitUntil('the standby is synchronous', STREAMING_MS, async () => {
      const [row] = await sql`select from pg_stat_replication where sync_state = 'sync'`;
      return row !== undefined || undefined;
    });
    return server;
  } finally {
    await sql.end();
  }
}

/** Makes a standby the primary. It waits for no standby of its own until that exists. */
export async function promote(standby: Postgres): Promise<void> {
  const sql = postgres(standby.url, { max: 1, onnotice() {} });
  try {
    await sql`select pg_promote(true, ${PROMOTION_MS / 1_000})`;
    await sql`alter system reset synchronous_standby_names`;
    await sql`select pg_reload_conf()`;
  } finally {
    await sql.end();
  }
}

async function copyData(sql: postgres.Sql, from: string, to: string): Promise<void> {
  await sql`select pg_backup_start('standby', true)`;
  cpSync(from, to, { recursive: true, preserveTimestamps: true });
  const [backup] = await sql<{ label: string }[]>`select labelfile as label from pg_backup_stop(false)`;
  writeFileSync(join(to, 'backup_label'), backup?.label ?? '');
  writeFileSync(join(to, 'standby.signal'), '');
  rmSync(join(to, 'postmaster.pid'), { force: true });
  giveToServer(to);
  writeFileSync(`${to}.password`, readFileSync(`${from}.password`), { mode: 0o600 });
}
