// usage: npm test [-- file or folder or part of a path ...]
import { globSync, readFileSync } from 'node:fs';
import { availableParallelism, constants } from 'node:os';
import { join } from 'node:path';
import { openTestServices } from '../test/kit/services.ts';
import { launch, scratchFolder, stop } from './lib/processes.ts';

const FILES = ['src/**/*.test.ts', 'test/**/*.test.ts', 'client/**/*.test.ts'];
// They unpack a browser, so they run only if the call names them, or with TEST_BROWSER=true.
const IN_BROWSER = 'test/browser/';
// Tests of what Redis is used for run on a Redis Cluster of three nodes, which accepts fewer commands; all others on one node.
const ON_CLUSTER = [
  'src/event/',
  'src/presence/',
  'src/limit/',
  'src/admin/revoke',
  'src/message/cache',
  'src/member/cache',
  'test/hostile/relay',
];
// On both: they depend on how connections to Redis fail, or on what differs between the two.
const ON_BOTH = [
  'src/event/relay.test',
  'src/presence/outage',
  'src/limit/limit.test',
  'src/message/cache-races',
  'test/outage-redis',
];
// Each in a process of its own: they take long, or measure what a process uses.
const ALONE = ['test/chaos/', 'test/isolation.test', 'test/fuzz/', 'test/hostile/memory'];
// Before a group that gets a Redis Cluster.
const CLUSTER = 'cluster:';
// Groups with one of these parts take long and start early, so that none of them runs alone at the end.
const LONGEST = [CLUSTER, 'test/', 'src/db/'];
// They mostly wait, so after each two of them starts one of the others, which computes meanwhile.
const LONG_IN_A_ROW = 2;
const FILES_PER_PROCESS = 14;
const HAS_ROOT_HOOK = /^(before|after)/m;
// The tests wait for about half of their time.
const FILES_PER_CORE = 2;
const STOP_MS = 5_000;

process.exitCode = await main(process.argv.slice(2));

function isWanted(file: string, wanted: readonly string[]): boolean {
  if (wanted.length === 0) return process.env['TEST_BROWSER'] === 'true' || !file.startsWith(IN_BROWSER);
  return hasPart(file, wanted);
}

function hasPart(file: string, parts: readonly string[]): boolean {
  return parts.some((part) => file.includes(part));
}

async function main(wanted: readonly string[]): Promise<number> {
  const files = globSync(FILES)
    .filter((file) => isWanted(file, wanted))
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
  const services = await openTestServices((line) => console.error(line));
  console.error(`${services.summary}; ready in ${Date.now() - started} ms`);
  try {
    const concurrency = services.isolated ? Math.ceil(availableParallelism() * FILES_PER_CORE) : 1;
    const isWhole = wanted.length === 0 && services.isolated;
    const onCluster = isWhole ? files.filter((file) => hasPart(file, [...ON_CLUSTER, ...ON_BOTH])) : [];
    const onNode = files.filter((file) => !onCluster.includes(file) || hasPart(file, ON_BOTH));
    const groups = inTurns([...groupsOf(onNode), ...groupsOf(onCluster, CLUSTER)]);
    return await runGroups(groups, services.env, concurrency, interrupted.promise);
  } finally {
    await services.close();
  }
}

async function runGroups(
  groups: readonly string[],
  env: Readonly<Record<string, string>>,
  concurrency: number,
  interrupted: Promise<number>,
): Promise<number> {
  // Temporary files of tests are removed with the run, even when it is killed.
  const scratch = scratchFolder('discuss-tests');
  const child = launch({
    command: [process.execPath, 'test/kit/runner.ts', `${concurrency}`, ...groups],
    orphanSignal: 'SIGKILL',
    // The modules of one file are those of the next.
    env: { NODE_COMPILE_CACHE: join('.dev', 'compile-cache'), ...process.env, ...env, TMPDIR: scratch.path },
    stdio: 'inherit',
  });
  const ended = new Promise<number>((done) => child.once('exit', (code) => done(code ?? 1)));
  const code = await Promise.race([ended, interrupted]);
  await stop(child, 'SIGTERM', STOP_MS);
  scratch.remove();
  return code;
}

/**
 * Short files share a process, those of a folder first: to start one with all modules costs as much CPU as most of these tests.
 * Files with hooks outside of a suite keep a process of their own, because such hooks would surround the others too.
 */
function groupsOf(files: readonly string[], prefix = ''): string[] {
  const { own = [], shared = [] } = Object.groupBy(files, (file) =>
    needsOwnProcess(file) ? 'own' : 'shared',
  );
  const groups = own.map((file) => [file]);
  for (let first = 0; first < shared.length; first += FILES_PER_PROCESS)
    groups.push(shared.slice(first, first + FILES_PER_PROCESS));
  return groups.map((group) => prefix + group.join());
}

function needsOwnProcess(file: string): boolean {
  return hasPart(file, ALONE) || HAS_ROOT_HOOK.test(readFileSync(file, 'utf8'));
}

/** LONGEST first, with another group after every LONG_IN_A_ROW of them; single files last, because they end sooner than groups. */
function inTurns(groups: readonly string[]): string[] {
  const {
    long = [],
    others = [],
    single = [],
  } = Object.groupBy(groups, (group) =>
    !group.includes(',') ? 'single' : hasPart(group, LONGEST) ? 'long' : 'others',
  );
  const rank = (group: string) => LONGEST.findIndex((part) => group.includes(part));
  long.sort((a, b) => rank(a) - rank(b));
  const first: string[] = [];
  while (long.length > 0) first.push(...long.splice(0, LONG_IN_A_ROW), ...others.splice(0, 1));
  return [...first, ...others, ...single];
}
