// Runs test files in the given order: `node --test` would sort them. Files joined by commas share a process.
// usage: node test/kit/runner.ts concurrency file[,file ...] ...
import { writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { pathToFileURL } from 'node:url';

const TEST_TIMEOUT_MS = 120_000;
const SLOWEST = 10;

const [concurrency = '1', ...groups] = process.argv.slice(2);
const durations: { file: string; ms: number }[] = [];

const events = run({
  files: groups.map((group, index) => entryOf(group.split(','), index)),
  concurrency: Number(concurrency),
  timeout: TEST_TIMEOUT_MS,
  execArgv: ['--import=./test/kit/global.ts'],
});
events.on('test:summary', ({ file, duration_ms: ms, success }) => {
  if (file !== undefined) durations.push({ file: relative('.', file), ms });
  if (!success) process.exitCode = 1;
});
events.compose(new spec()).pipe(process.stdout);
process.once('beforeExit', () => {
  durations.sort((a, b) => b.ms - a.ms);
  for (const { file, ms } of durations.slice(0, SLOWEST))
    console.log(`${(ms / 1000).toFixed(1).padStart(6)} s  ${file}`);
});

/** The module that runs all files of a group. */
function entryOf(files: readonly string[], index: number): string {
  const [first = ''] = files;
  if (files.length === 1) return resolve(first);
  const entry = join(tmpdir(), `${index}-${dirname(first).replaceAll('/', '-')}.mjs`);
  const imports = files.map((file) => `import ${JSON.stringify(pathToFileURL(resolve(file)).href)};\n`);
  writeFileSync(entry, imports.join(''));
  return entry;
}
