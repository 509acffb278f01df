import { chownSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { findProgram, unpackProgram, type Wanted } from './debian-program.ts';
import { UNPRIVILEGED, UNPRIVILEGED_ID } from './postgres.ts';
import { freePort, hasEnded, launch, scratchFolder, stop, tailOf, waitUntil } from './processes.ts';

const PROGRAM: Wanted = {
  alternatives: [{ name: 'pgbouncer', package: 'pgbouncer' }],
  probe: '--version',
  folder: 'pgbouncer',
  missing: 'there is no pgbouncer on PATH, and the package of the distribution could not be unpacked',
};
const POOL_SIZE = 16;
const START_MS = 10_000;
const STOP_MS = 5_000;

export type Pooler = { readonly url: string; stop(): Promise<void> };

/** PgBouncer in transaction mode, as docs/operations.md sets it up, in front of the server of a URL, for its user. */
export async function startPgbouncer(serverUrl: string, log: (line: string) => void): Promise<Pooler> {
  const program = findProgram(PROGRAM) ?? (await unpackProgram(PROGRAM, log));
  const folder = scratchFolder('discuss-pgbouncer');
  const port = await freePort();
  const server = new URL(serverUrl);
  const users = join(folder.path, 'users.txt');
  const file = join(folder.path, 'pgbouncer.ini');
  writeFileSync(users, `"${server.username}" "${server.password}"\n`);
  writeFileSync(file, configuration(server, port, users));
  for (const path of [folder.path, users, file])
    if (UNPRIVILEGED.length > 0) chownSync(path, UNPRIVILEGED_ID, UNPRIVILEGED_ID);
  const child = launch({
    command: [program.file, file],
    orphanSignal: 'SIGTERM',
    env: { ...process.env, LD_LIBRARY_PATH: program.libraries },
    privileges: UNPRIVILEGED,
  });
  const tail = tailOf(child);
  await waitUntil('PgBouncer accepts connections', START_MS, async () => {
    if (hasEnded(child)) throw new Error(`PgBouncer did not start:\n${tail()}`);
    return (await listens(port)) ? true : undefined;
  });
  server.port = `${port}`;
  return { url: server.href, stop: () => stop(child, 'SIGINT', STOP_MS).finally(() => folder.remove()) };
}

function configuration(server: URL, port: number, users: string): string {
  return `[databases]
* = host=${server.hostname} port=${server.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = md5
auth_file = ${users}
pool_mode = transaction
default_pool_size = ${POOL_SIZE}
max_client_conn = 2000
ignore_startup_parameters = statement_timeout, idle_in_transaction_session_timeout
`;
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    const settle = (isOpen: boolean) => {
      socket.destroy();
      resolve(isOpen);
    };
    socket.once('connect', () => settle(true)).once('error', () => settle(false));
  });
}
