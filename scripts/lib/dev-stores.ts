import { join } from 'node:path';
import postgres from 'postgres';
import { migrate } from '../../src/db/migrate.ts';
import { SchemaError } from '../../src/db/schema-files.ts';
import { chooseStackPort, DEV_FOLDER, storedSecret } from './dev-state.ts';
import {
  createDatabase,
  createServiceLogin,
  databaseUrl,
  randomPassword,
  startPostgres,
} from './postgres.ts';
import { startRedis } from './redis.ts';
import { supervise } from './supervise.ts';

const POSTGRES_PORT = 15_432;
const REDIS_PORT = 16_379;

export interface Store {
  readonly url: string;
  readonly failed: Promise<never>;
  stop(): Promise<void>;
}

export interface DatabaseStore extends Store {
  /** Undefined when only the URL of the service's role was given. */
  readonly ownerUrl: string | undefined;
}

type Report = (line: string) => void;

/** A migrated database: that of DATABASE_OWNER_URL or DATABASE_URL, else a server of this stack below `.dev/`. */
export async function openDatabase(report: Report): Promise<DatabaseStore> {
  const given = { owner: setting('DATABASE_OWNER_URL'), service: setting('DATABASE_URL') };
  const ownerUrl = given.owner ?? given.service;
  if (ownerUrl !== undefined) return openGivenDatabase(ownerUrl, given, report);
  return openOwnDatabase(report);
}

export async function openRedis(report: Report): Promise<Store> {
  const given = setting('REDIS_URL');
  if (given !== undefined) return { ...external, url: given };
  const port = await chooseStackPort('redis', REDIS_PORT);
  const dataDir = join(DEV_FOLDER, 'redis');
  return supervise('Redis', () => startRedis({ dataDir, port, durable: true, log: report }), report);
}

async function openOwnDatabase(report: Report): Promise<DatabaseStore> {
  const port = await chooseStackPort('postgres', POSTGRES_PORT);
  const dataDir = join(DEV_FOLDER, 'postgres');
  const server = await supervise('PostgreSQL', () => startPostgres({ dataDir, port, durable: true }), report);
  try {
    await createDatabase(server.url, 'discuss');
    const ownerUrl = databaseUrl(server.url, 'discuss');
    await migrateQuietly(ownerUrl, report);
    const password = storedSecret('service-password', randomPassword);
    return { ...server, ownerUrl, url: await createServiceLogin(ownerUrl, 'discuss', password) };
  } catch (error) {
    await server.stop();
    if (!(error instanceof SchemaError)) throw error;
    throw new Error(`${error.message}\nTo start with an empty database: rm -r ${dataDir}`, {
      cause: error,
    });
  }
}

const external = { failed: new Promise<never>(() => {}), stop: async () => {} };

async function openGivenDatabase(
  ownerUrl: string,
  given: { owner: string | undefined; service: string | undefined },
  report: Report,
): Promise<DatabaseStore> {
  if (given.owner === undefined && !(await mayMigrate(ownerUrl))) {
    report('The role of DATABASE_URL cannot create roles: the database is used without a migration.');
    return { ...external, url: ownerUrl, ownerUrl: undefined };
  }
  await migrateQuietly(ownerUrl, report);
  if (given.owner !== undefined && given.service !== undefined)
    return { ...external, url: given.service, ownerUrl };
  // Not `discuss`: on an external server that role may belong to a production installation.
  const password = storedSecret('service-password', randomPassword);
  return { ...external, url: await createServiceLogin(ownerUrl, 'discuss_dev', password), ownerUrl };
}

async function migrateQuietly(ownerUrl: string, report: Report): Promise<void> {
  let applied = 0;
  await migrate(ownerUrl, {
    log() {
      applied += 1;
    },
  });
  if (applied > 0) report(`${applied} schema files applied`);
}

async function mayMigrate(url: string): Promise<boolean> {
  const sql = postgres(url, { max: 1, onnotice() {} });
  try {
    const [role] = await sql<{ may: boolean }[]>`
      select rolsuper or rolcreaterole as may
      from pg_roles
      where rolname = current_user
    `;
    return role?.may ?? false;
  } finally {
    await sql.end();
  }
}

function setting(name: string): string | undefined {
  return process.env[name] === '' ? undefined : process.env[name];
}
