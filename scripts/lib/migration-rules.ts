import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { readSchemaFiles } from '../../src/db/schema-files.ts';
import { compareVersions, SCHEMA_VERSION } from '../../src/db/schema-version.ts';

/** Name and checksum of every migration of the last release, which must not change any more. */
const RELEASED = 'sql/migrations/released.txt';
const VERSION_FUNCTION = 'sql/functions/db/schema_version.sql';

// What instances of the build before cannot bear, or what locks a large table for long.
const RULES: readonly [pattern: RegExp, problem: string][] = [
  [/\bdrop\s+(?:table|view|function|column|type)\b/i, 'removes something that the build before may use'],
  [/\brename\s+(?:to|column|constraint)\b/i, 'renames something that the build before may use'],
  [/\balter\s+column\s+\w+\s+(?:set\s+data\s+)?type\b/i, 'changes a type, which rewrites the table'],
  [/\bset\s+not\s+null\b/i, 'makes a column required, which the build before may leave out'],
  [/\badd\s+column\s+(?![^,;]*\bdefault\b)[^,;]*\bnot\s+null\b/i, 'adds a required column without a default'],
  [/\badd\s+constraint\b(?![^;]*\bnot\s+valid\b)/i, 'adds a constraint without `not valid`'],
  [
    /\bcreate\s+(?:unique\s+)?index\s+(?!concurrently)(?![^;]*\bon\s+only\b)/i,
    'creates an index without `concurrently`',
  ],
];

/** Migrations that are not in the last release and break instances of it, and released ones that have changed. */
export function findMigrationProblems(): string[] {
  const versions = findVersionProblems();
  if (!existsSync(RELEASED)) return versions;
  const released = new Map(
    readFileSync(RELEASED, 'utf8')
      .trim()
      .split('\n')
      .map((line) => {
        const [name = '', checksum = ''] = line.split(' ');
        return [name, checksum];
      }),
  );
  return [
    ...versions,
    ...readSchemaFiles().migrations.flatMap(({ name, checksum, parts }) => {
      const text = parts.map((part) => ('text' in part ? part.text : '')).join('');
      if (!released.has(name)) return breakingParts(name, text);
      return released.get(name) === checksum ? [] : [`${name} was changed after its release`];
    }),
  ];
}

/**
 * A contract migration, which removes what older builds use, begins with a comment `-- contract:` and the reason, and its
 * release raises `oldestBuild`.
 */
export function breakingParts(name: string, text: string): string[] {
  if (/^(?:--.*\n)*-- contract:/.test(text)) return [];
  // Tables that the migration itself creates are unknown to other builds, and empty.
  const created = new Set([...text.matchAll(/^create table (\w+)/gm)].map(([, table]) => table));
  const statements = text.replaceAll(/--.*$/gm, '').split(/;\s*$/m);
  return statements
    .filter((statement) => !created.has(tableOf(statement)))
    .flatMap((statement) =>
      RULES.filter(([pattern]) => pattern.test(statement)).map(([, problem]) => `${name} ${problem}`),
    );
}

/** To be called by a release. */
export function writeReleasedMigrations(): void {
  const lines = readSchemaFiles().migrations.map(({ name, checksum }) => `${name} ${checksum}\n`);
  writeFileSync(RELEASED, lines.join(''));
}

function tableOf(statement: string): string | undefined {
  return /\b(?:alter\s+table(?:\s+only)?|on)\s+(\w+)/i.exec(statement)?.[1];
}

function findVersionProblems(): string[] {
  const { version, oldestSchema, oldestBuild } = SCHEMA_VERSION;
  const inSql = readFileSync(VERSION_FUNCTION, 'utf8').includes(`select '${version}', '${oldestBuild}';`);
  return [
    ...(inSql ? [] : [`${VERSION_FUNCTION} does not return ${version} and ${oldestBuild}`]),
    ...[oldestSchema, oldestBuild]
      .filter((oldest) => compareVersions(oldest, version) > 0)
      .map((oldest) => `src/db/schema-version.ts: ${oldest} is newer than ${version}`),
  ];
}
