// Runs groups of test files, each in a process of its own, in the given order: `node --test` would sort them.
// usage: node test/kit/runner.ts concurrency [cluster:]file[,file ...] ...
import { writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { pathToFileURL } from 'node:url';

const TEST_TIMEOUT_MS = 120_000;
const SLOWEST = 10;
// Before a group that gets a Redis Cluster.
const ON_CLUSTER = 'cluster:';
const MAX_NAMED = 3;

const [concurrency = '1', ...groups] = process.argv.slice(2);
/** What each process runs, by the module that it starts with. */
const labels = new Map(groups.map((group, index) => [entryOf(group, index), toLabel(group)]));
const durations: { label: string; ms: number }[] = [];
const failed: string[] = [];

const events = run({
  files: [...labels.keys()],
  concurrency: Number(concurrency),
  timeout: TEST_TIMEOUT_MS,
  execArgv: ['--import=./test/kit/global.ts'],
});
events.on('test:summary', ({ file, duration_ms: ms, success }) => {
  const label = labels.get(file ?? '');
  if (label !== undefined) durations.push({ label, ms });
  if (label !== undefined && !success) failed.push(label);
  if (!success) process.exitCode = 1;
});
events.compose(new spec()).pipe(process.stdout);
process.once('beforeExit', () => {
  durations.sort((a, b) => b.ms - a.ms);
  for (const { label, ms } of durations.slice(0, SLOWEST))
    console.log(`${(ms / 1000).toFixed(1).padStart(6)} s  ${label}`);
  for (const label of failed) console.log(`failed: ${label}`);
});

/** A module that imports all files of a group. */
function entryOf(group: string, index: number): string {
  const isOnCluster = group.startsWith(ON_CLUSTER);
  const files = filesOf(group);
  const [first = ''] = files;
  if (files.length === 1 && !isOnCluster) return resolve(first);
  const entry = join(tmpdir(), `group-${index}.mjs`);
  const modules = isOnCluster ? ['test/kit/on-cluster.ts', ...files] : files;
  const imports = modules.map((module) => `import ${JSON.stringify(pathToFileURL(resolve(module)).href)};\n`);
  writeFileSync(entry, imports.join(''));
  return entry;
}

function toLabel(group: string): string {
  const files = filesOf(group);
  const named = files.slice(0, MAX_NAMED).join(', ');
  const more = files.length > MAX_NAMED ? ` and ${files.length - MAX_NAMED} more` : '';
  return `${named}${more}${group.startsWith(ON_CLUSTER) ? ' on a Redis Cluster' : ''}`;
}

function filesOf(group: string): string[] {
  return group.replace(ON_CLUSTER, '').split(',');
}
