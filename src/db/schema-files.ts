import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';

export type Migration = {
  readonly name: string;
  readonly checksum: string;
  readonly parts: readonly Part[];
  /** Whether it runs outside a transaction, such as `create index concurrently`. Then it must be repeatable. */
  readonly isConcurrent: boolean;
};

/** SQL text, or the function whose file the migration includes at this place. */
type Part = { readonly text: string } | { readonly include: string };

export type FunctionFile = {
  /** Path below sql/, such as functions/event/append_event.sql. */
  readonly name: string;
  /** The function or view that the file defines. */
  readonly object: string;
  readonly text: string;
  readonly checksum: string;
};

export type SchemaFiles = {
  /** In the order of their numbers. */
  readonly migrations: readonly Migration[];
  /** By object, in the order of their paths. */
  readonly functions: ReadonlyMap<string, FunctionFile>;
};

/** The database and this build do not fit together; a retry does not help. */
export class SchemaError extends Error {
  override readonly name = 'SchemaError';
}

const FOLDER = new URL('../../sql/', import.meta.url);
// The first line of a migration that cannot run in a transaction.
const CONCURRENT = '-- no transaction\n';
// psql understands these lines too.
const INCLUDE = /^\\ir \.\.\/functions\/\w+\/(\w+)\.sql\n/gm;

export function readSchemaFiles(folder: URL = FOLDER): SchemaFiles {
  return {
    migrations: listFiles(folder, /^migrations\/\d{3}_\w+\.sql$/).map(({ name, text }) => ({
      name: name.slice('migrations/'.length),
      // Includes state an order, not content: they may move to a later migration after a release.
      checksum: hash(text.replaceAll(INCLUDE, '')),
      isConcurrent: text.startsWith(CONCURRENT),
      parts: text.split(INCLUDE).map((part, index) => (index % 2 === 0 ? { text: part } : { include: part })),
    })),
    functions: readFunctions(folder),
  };
}

function readFunctions(folder: URL): Map<string, FunctionFile> {
  const files = listFiles(folder, /^functions\/\w+\/\w+\.sql$/);
  const functions = new Map<string, FunctionFile>();
  for (const { name, text } of files) {
    const object = objectOf(name);
    const other = functions.get(object);
    if (other !== undefined) throw new Error(`${other.name} and ${name} have the same name`);
    functions.set(object, { name, object, text, checksum: hash(text) });
  }
  return functions;
}

export function objectOf(name: string): string {
  return name.slice(name.lastIndexOf('/') + 1, -'.sql'.length);
}

function listFiles(folder: URL, pattern: RegExp): { name: string; text: string }[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => pattern.test(name))
    .sort()
    .map((name) => ({ name, text: readFileSync(new URL(name, folder), 'utf8') }));
}

function hash(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
