import { readFileSync } from 'node:fs';
import { SCHEMA_VERSION } from '../../src/db/schema-version.ts';
import { CONTRACT_VERSION } from '../../src/server/contract-version.ts';

type Edit = readonly [file: string, pattern: RegExp, replacement: string];

/** The files that state the version, with a new one; fails if a place is not found. */
export function releaseFiles(version: string, date: string): ReadonlyMap<string, string> {
  if (!/^\d+\.\d+\.\d+$/.test(version)) throw new Error(`${version} is not a version such as 1.2.3`);
  const { oldestBuild } = SCHEMA_VERSION;
  const edits: readonly Edit[] = [
    ['package.json', /(?<="version": ")[^"]+/, version],
    ['package-lock.json', /(?<="version": ")[^"]+/, version],
    ['package-lock.json', /(?<="": \{\s+"name": "discuss-service",\s+"version": ")[^"]+/, version],
    ['src/server/contract-version.ts', /(?<=CONTRACT_VERSION = ')[^']+/, version],
    ['src/db/schema-version.ts', /(?<=^ {2}version: ')[^']+/m, version],
    ['sql/functions/db/schema_version.sql', /select '.*', '.*';/, `select '${version}', '${oldestBuild}';`],
    ['deploy/kubernetes/kustomization.yaml', /(?<=newTag: ).*/, version],
    ['CHANGELOG.md', /^## \[.*\] - Unreleased$/m, `## [${version}] - ${date}`],
  ];
  const files = new Map<string, string>();
  for (const [file, pattern, replacement] of edits) {
    const text = files.get(file) ?? readFileSync(file, 'utf8');
    if (!pattern.test(text)) throw new Error(`${file} has no place for the version ${CONTRACT_VERSION}`);
    files.set(file, text.replace(pattern, replacement));
  }
  return files;
}
