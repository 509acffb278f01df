// Runs test files, each in a process of its own, in the given order: `node --test` would sort them.
// usage: node test/kit/runner.ts concurrency file ...
import { relative, resolve } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';

const TEST_TIMEOUT_MS = 120_000;
const SLOWEST = 10;

const [concurrency = '1', ...files] = process.argv.slice(2);
const durations: { file: string; ms: number }[] = [];

const events = run({
  files: files.map((file) => resolve(file)),
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
