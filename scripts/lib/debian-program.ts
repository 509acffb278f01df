import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { canRun, findOnPath } from './processes.ts';

const CACHE = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '.dev', 'redis-server');
const NAMES = ['redis-server', 'valkey-server'] as const;
const MISSING =
  'No Redis: there is no redis-server or valkey-server on PATH, no Docker engine responds, and the package of the ' +
  'distribution could not be unpacked. Install one of them, or set REDIS_URL (npm start) or TEST_REDIS_URL (npm test).';

const exec = promisify(execFile);

export interface RedisProgram {
  readonly file: string;
  /** Value of LD_LIBRARY_PATH. */
  readonly libraries: string;
}

/** The server on PATH, or the one that was unpacked earlier. */
export function findRedisProgram(): RedisProgram | undefined {
  for (const name of NAMES) {
    const file = findOnPath(name);
    if (file !== undefined) return { file, libraries: process.env['LD_LIBRARY_PATH'] ?? '' };
  }
  return programIn(CACHE);
}

/** Unpacks the Debian package with missing libraries into `.dev/`, without root privileges. */
export async function unpackRedis(log: (line: string) => void = () => {}): Promise<RedisProgram> {
  if (findOnPath('apt-get') === undefined) throw new Error(MISSING);
  log('unpacking the redis-server package of the distribution ...');
  mkdirSync(dirname(CACHE), { recursive: true });
  const folder = mkdtempSync(`${CACHE}.`);
  try {
    await download(folder, log);
    publish(join(folder, 'root'));
  } catch (error) {
    throw new Error(MISSING, { cause: error });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const program = programIn(CACHE);
  if (program === undefined) throw new Error(MISSING);
  return program;
}

async function download(folder: string, log: (line: string) => void): Promise<void> {
  // The system's package lists may be absent or too old for the archive; then separate lists are fetched.
  const attempts = [async () => [], () => freshLists(folder, log)];
  let failure: unknown;
  for (const lists of attempts) {
    for (const name of NAMES) {
      try {
        await unpack(name, folder, await lists());
        return;
      } catch (error) {
        failure = error;
      }
    }
  }
  throw failure;
}

async function freshLists(folder: string, log: (line: string) => void): Promise<string[]> {
  const lists = join(folder, 'lists');
  const options = ['-o', `Dir::State::Lists=${lists}`, '-o', `Dir::Cache=${join(folder, 'cache')}`];
  if (existsSync(lists)) return options;
  mkdirSync(join(lists, 'partial'), { recursive: true });
  mkdirSync(join(folder, 'cache', 'archives', 'partial'), { recursive: true });
  log('fetching package lists ...');
  await apt(folder, ['-o', 'Debug::NoLocking=1', ...options, 'update']);
  return options;
}

async function unpack(name: string, folder: string, options: readonly string[]): Promise<void> {
  const packages = join(folder, 'packages');
  rmSync(packages, { recursive: true, force: true });
  mkdirSync(packages);
  const plan = await apt(folder, [...options, '--simulate', '--no-install-recommends', 'install', name]);
  const needed = [...plan.matchAll(/^Inst (\S+)/gm)].map((line) => line[1] ?? '');
  if (needed.length === 0) throw new Error(`apt-get has no plan to install ${name}`);
  await apt(packages, [...options, 'download', ...needed]);
  for (const file of readdirSync(packages)) {
    await exec('dpkg-deb', ['--extract', join(packages, file), join(folder, 'root')]);
  }
}

async function apt(cwd: string, args: readonly string[]): Promise<string> {
  // As root, apt can write into this folder only without its sandbox user.
  const quiet = ['-q', '-o', 'APT::Sandbox::User=root', '-o', 'Acquire::Retries=3'];
  const { stdout } = await exec('apt-get', [...quiet, ...args], {
    cwd,
    env: { ...process.env, LC_ALL: 'C' },
  });
  return stdout;
}

/** Two processes may unpack at once; either result is valid for both. */
function publish(root: string): void {
  if (programIn(root) === undefined) throw new Error('the unpacked server does not run');
  if (programIn(CACHE) === undefined) rmSync(CACHE, { recursive: true, force: true });
  try {
    renameSync(root, CACHE);
  } catch (error) {
    if (programIn(CACHE) === undefined) throw error;
  }
}

function programIn(root: string): RedisProgram | undefined {
  const libraries = ['usr/lib', 'lib'].flatMap((folder) => librariesIn(join(root, folder))).join(':');
  for (const name of NAMES) {
    const file = join(root, 'usr', 'bin', name);
    if (!existsSync(file)) continue;
    if (canRun('env', [`LD_LIBRARY_PATH=${libraries}`, file, '--version'])) return { file, libraries };
  }
  return undefined;
}

function librariesIn(folder: string): string[] {
  if (!existsSync(folder)) return [];
  const triplets = readdirSync(folder).filter((name) => name.includes('-linux-gnu'));
  return [...triplets.map((name) => join(folder, name)), folder];
}
