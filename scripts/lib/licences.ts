import { readFileSync } from 'node:fs';

const LOCK_FILE = 'package-lock.json';
const PERMITTED = [
  'MIT',
  'ISC',
  'Apache-2.0',
  'BSD-2-Clause',
  'BSD-3-Clause',
  '0BSD',
  'BlueOak-1.0.0',
  'Unlicense',
];
// The library libvips of sharp, which is linked dynamically and can be replaced.
const LINKED = [/^node_modules\/@img\/sharp-/, 'LGPL-3.0-or-later'] as const;

export type LockedPackage = {
  readonly version?: string;
  readonly license?: string;
  readonly dev?: boolean;
  readonly link?: boolean;
};

/** Packages of the image whose licence is not permitted. */
export function findLicenceProblems(packages = readLock()): string[] {
  return Object.entries(packages)
    .filter(([path, one]) => path !== '' && one.dev !== true && one.link !== true)
    .filter(([path, { license }]) => !isPermitted(license ?? '', LINKED[0].test(path)))
    .map(([path, { version, license }]) => `${path} ${version}: ${license ?? 'no licence'} is not permitted`);
}

// All of `A AND B`, one of `A OR B`.
function isPermitted(licence: string, isLinked: boolean): boolean {
  const permitted = isLinked ? [...PERMITTED, LINKED[1]] : PERMITTED;
  const alternatives = licence.replaceAll(/[()]/g, '').split(' OR ');
  return alternatives.some((parts) => parts.split(' AND ').every((part) => permitted.includes(part)));
}

function readLock(): Readonly<Record<string, LockedPackage>> {
  return JSON.parse(readFileSync(LOCK_FILE, 'utf8')).packages;
}
