// usage: npm test [-- file or folder or part of a path ...]
import { globSync } from 'node:fs';
import { constants } from 'node:os';
import { openTestServices } from '../test/kit/services.ts';
import { launch, scratchFolder, stop } from './lib/processes.ts';

const FILES = ['src/**/*.test.ts', 'test/**/*.test.ts'];
// Tests that use Redis also run on a Redis Cluster of three nodes.
const ON_CLUSTER = [
  'src/event/',
  'src/presence/',
  'src/limit/',
  'src/admin/revoke',
  'src/message/cache',
  'src/member/cache',
  'test/outage',
  'test/hostile/relay',
];
const TEST_TIMEOUT_MS = 120_000;
const STOP_MS = 5_000;

process.exitCode = await main(process.argv.slice(2));

async function main(wanted: readonly string[]): Promise<number> {
  const files = globSync(FILES)
    .filter((file) => wanted.length === 0 || wanted.some((part) => file.includes(part)))
    .sort();
  if (files.length === 0) {
    console.error(`no test file matches ${wanted.join(' ') || FILES.join(' ')}`);
    return 1;
  }
  const interrupted = Promise.withResolvers<number>();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => interrupted.resolve(128 + constants.signals[signal]));
  }
  const started = Date.now();
  const opening = openTestServices((line) => console.error(line));
  const services = await opening;
  console.error(`${services.summary}; ready in ${Date.now() - started} ms`);
  try {
    const concurrency = services.isolated ? 2 : 1;
    const code = await runFiles(files, services.env, concurrency, interrupted.promise);
    if (code !== 0 || wanted.length > 0 || !services.isolated) return code;
    console.error('repeating the tests that use Redis on a Redis Cluster:');
    const again = files.filter((file) => ON_CLUSTER.some((part) => file.includes(part)));
    const env = { ...services.env, TEST_REDIS_CLUSTER: 'true' };
    return await runFiles(again, env, concurrency, interrupted.promise);
  } finally {
    await services.close();
  }
}

async function runFiles(
  files: readonly string[],
  env: Readonly<Record<string, string>>,
  concurrency: number,
  interrupted: Promise<number>,
): Promise<number> {
  // Temporary files of tests are removed with the run, even when it is killed.
  const scratch = scratchFolder('discuss-tests');
  const child = launch({
    command: [
      process.execPath,
      '--test',
      `--test-concurrency=${concurrency}`,
      `--test-timeout=${TEST_TIMEOUT_MS}`,
      '--test-reporter=spec',
      '--import=./test/kit/global.ts',
      ...files,
    ],
    orphanSignal: 'SIGKILL',
    env: { ...process.env, ...env, TMPDIR: scratch.path },
    stdio: 'inherit',
  });
  const ended = new Promise<number>((done) => child.once('exit', (code) => done(code ?? 1)));
  const code = await Promise.race([ended, interrupted]);
  await stop(child, 'SIGTERM', STOP_MS);
  scratch.remove();
  return code;
}
