// Everything that can be said of the code without running it. Runs all checks and fails if one does.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findVersionProblems } from './lib/contract-version.ts';
import { findMissingDocPaths } from './lib/doc-paths.ts';
import { CONTRACT, generate, WORKSPACE, writeImage, writeProtoDeps } from './lib/generate.ts';
import { findLicenceProblems } from './lib/licences.ts';
import { findLuaProblems } from './lib/lua.ts';
import { findMigrationProblems } from './lib/migration-rules.ts';
import { generateFromBundle, writeBundle } from './lib/proto-bundle.ts';
import { isSettingsTableFresh } from './lib/settings-table.ts';

const FRESH = join('.dev', 'check');
const GENERATED = ['gen', join('client', 'gen')];
const PROTOS = ['proto', 'src/event/proto'];

const CHECKS: readonly [name: string, run: () => boolean][] = [
  ['format and lint', () => passes('biome', 'check', '.')],
  [
    'types',
    () => ['.', 'client', 'examples/web'].every((path) => passes('tsc', '--noEmit', '--project', path)),
  ],
  ['imports', () => passes('depcruise', '--config', '.dependency-cruiser.mjs', 'src')],
  ['Lua scripts: syntax and names', isLuaCorrect],
  ['protos: lint', () => passes('buf', 'lint', ...WORKSPACE)],
  ['protos: format', () => PROTOS.every((path) => passes('buf', 'format', path, '--diff', '--exit-code'))],
  ['protos: compatible with the last release', isCompatible],
  ['protos: code can be generated from the bundle alone', isBundleComplete],
  ['paths in README.md, SECURITY.md and docs/ exist', areDocPathsValid],
  ['the table of settings in README.md is what make gen writes', isSettingsTableFresh],
  ['one version in package.json, CHANGELOG.md and the contract', isVersionConsistent],
  ['licences of the packages in the image', areLicencesPermitted],
  ['migrations keep the last release working', areMigrationsCompatible],
  ['gen/ is what make gen writes', isGeneratedCodeFresh],
  [
    'sql/schema.sql and sql/functions/ are what a migrated database has',
    () => passes(process.execPath, 'scripts/schema.ts', '--check'),
  ],
];

writeProtoDeps();
const failed = CHECKS.filter(([name, run]) => {
  const started = Date.now();
  const passed = run();
  console.log(`${passed ? 'ok    ' : 'FAILED'} ${name} (${Date.now() - started} ms)`);
  return !passed;
});
if (failed.length > 0) process.exitCode = 1;

function areDocPathsValid(): boolean {
  const missing = findMissingDocPaths();
  for (const line of missing) console.error(line);
  return missing.length === 0;
}

function areLicencesPermitted(): boolean {
  const problems = findLicenceProblems();
  for (const problem of problems) console.error(problem);
  return problems.length === 0;
}

function areMigrationsCompatible(): boolean {
  const problems = findMigrationProblems();
  for (const problem of problems) console.error(problem);
  return problems.length === 0;
}

function isVersionConsistent(): boolean {
  const problems = findVersionProblems();
  for (const problem of problems) console.error(problem);
  return problems.length === 0;
}

function isCompatible(): boolean {
  const image = join('.dev', 'contract.binpb');
  try {
    writeImage(image);
    return passes('buf', 'breaking', image, ...WORKSPACE, '--against', CONTRACT);
  } finally {
    rmSync(image, { force: true });
  }
}

function isBundleComplete(): boolean {
  const folder = mkdtempSync(join(tmpdir(), 'discuss-proto-'));
  try {
    writeBundle(folder);
    generateFromBundle(folder);
    return true;
  } catch (error) {
    console.error(error);
    return false;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function isGeneratedCodeFresh(): boolean {
  try {
    generate(FRESH);
    return GENERATED.every((path) => passes('diff', '--recursive', '--brief', join(FRESH, path), path));
  } finally {
    rmSync(FRESH, { recursive: true, force: true });
  }
}

function isLuaCorrect(): boolean {
  const problems = findLuaProblems();
  for (const problem of problems) console.error(problem);
  return problems.length === 0;
}

function passes(command: string, ...args: string[]): boolean {
  const { status, error } = spawnSync(command, args, { stdio: 'inherit' });
  if (error !== undefined) console.error(error.message);
  return status === 0;
}
