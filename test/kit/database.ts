import { randomBytes } from 'node:crypto';
import postgres from 'postgres';

export interface FreshDatabase {
  /** May do everything; for arranging and looking behind row-level security. */
  readonly ownerUrl: string;
  /** The role of the service: owns nothing, cannot bypass row-level security. */
  readonly serviceUrl: string;
  close(): Promise<void>;
}

/** A migrated, empty database of its own, cloned from the template of this run. */
export async function freshDatabase(): Promise<FreshDatabase> {
  const adminUrl = fromRun('TEST_PG_ADMIN_URL');
  const template = fromRun('TEST_TEMPLATE');
  const name = template.replace(/template$/, randomBytes(6).toString('hex'));
  await administer(
    adminUrl,
    (sql) => sql`create database ${sql(name)} template ${sql(template)} strategy file_copy`,
  );
  return {
    ownerUrl: inDatabase(adminUrl, name),
    serviceUrl: inDatabase(fromRun('TEST_PG_SERVICE_URL'), name),
    close: () => administer(adminUrl, (sql) => sql`drop database if exists ${sql(name)} with (force)`),
  };
}

/** A fresh database with connections of its owner and of the service's role. */
export type FreshSchema = {
  readonly owner: postgres.Sql;
  readonly service: postgres.Sql;
  close(): Promise<void>;
};

/** `max`: the number of connections of each. */
export async function freshSchema(max: number): Promise<FreshSchema> {
  const { ownerUrl, serviceUrl, close } = await freshDatabase();
  const owner = postgres(ownerUrl, { max, onnotice() {} });
  const service = postgres(serviceUrl, { max, onnotice() {} });
  return {
    owner,
    service,
    async close() {
      await Promise.all([owner.end(), service.end()]);
      await close();
    },
  };
}

async function administer(url: string, statement: (sql: postgres.Sql) => Promise<unknown>): Promise<void> {
  const sql = postgres(url, { max: 1, onnotice() {} });
  try {
    await statement(sql);
  } finally {
    await sql.end();
  }
}

function inDatabase(url: string, name: string): string {
  const changed = new URL(url);
  changed.pathname = `/${name}`;
  return changed.href;
}

function fromRun(name: string): string {
  const value = process.env[name];
  if (value === undefined || value === '') throw new Error(`${name} is not set: run the tests by npm test`);
  return value;
}
