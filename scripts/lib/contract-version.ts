import { readFileSync } from 'node:fs';
import { SCHEMA_VERSION } from '../../src/db/schema-version.ts';
import { CONTRACT_VERSION } from '../../src/server/contract-version.ts';

/** Places that state another version than the one that GetServerInfo returns. */
export function findVersionProblems(): string[] {
  const { version } = JSON.parse(readFileSync('package.json', 'utf8'));
  const [, newest] = /^## \[(.+?)\] - /m.exec(readFileSync('CHANGELOG.md', 'utf8')) ?? [];
  const stated = {
    'package.json': version,
    'CHANGELOG.md, first version': newest,
    'src/db/schema-version.ts': SCHEMA_VERSION.version,
  };
  return Object.entries(stated)
    .filter(([, text]) => text !== CONTRACT_VERSION)
    .map(([place, text]) => `${place}: ${text} is not the contract version ${CONTRACT_VERSION}`);
}
