import { randomBytes } from 'node:crypto';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import postgres from 'postgres';
import { type FreshDatabase, freshDatabase } from './database.ts';

const SQL = new URL('../../sql/', import.meta.url);

/** Empty databases and changed copies of sql/, for tests of migrations. */
export interface Scratch {
  readonly database: FreshDatabase;
  /** The owner's URL of a new database without a schema. */
  emptyDatabase(): Promise<string>;
  connect(url: string): postgres.Sql;
  /** A copy of sql/ with these files, by path, added or replaced; null removes a file. */
  folderWith(files: Readonly<Record<string, string | null>>): Promise<URL>;
  /** Removes what the test made. */
  clear(): Promise<void>;
  close(): Promise<void>;
}

export async function openScratch(): Promise<Scratch> {
  const database = await freshDatabase();
  const admin = postgres(database.ownerUrl, { max: 1, onnotice() {} });
  const names: string[] = [];
  const folders: string[] = [];
  const clear = async () => {
    for (const name of names.splice(0)) await admin`drop database ${admin(name)} with (force)`;
    for (const folder of folders.splice(0)) await rm(folder, { recursive: true });
  };
  return {
    database,
    clear,
    async emptyDatabase() {
      const url = new URL(database.ownerUrl);
      const name = `${url.pathname.slice(1)}_${randomBytes(3).toString('hex')}`;
      await admin`create database ${admin(name)} template template0`;
      names.push(name);
      url.pathname = `/${name}`;
      return url.href;
    },
    connect: (url) => postgres(url, { max: 1, onnotice() {} }),
    async folderWith(files) {
      const folder = await mkdtemp(join(tmpdir(), 'schema-'));
      folders.push(folder);
      await cp(SQL, folder, { recursive: true });
      for (const [name, text] of Object.entries(files))
        if (text === null) await rm(join(folder, name));
        else await writeFile(join(folder, name), text);
      return pathToFileURL(`${folder}/`);
    },
    async close() {
      await clear();
      await admin.end();
      await database.close();
    },
  };
}
