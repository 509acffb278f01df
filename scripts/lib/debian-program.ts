import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { canRun, findOnPath } from './processes.ts';

const DEV_FOLDER = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '.dev');

const exec = promisify(execFile);

/** A program of the distribution. */
export interface Wanted {
  /** Alternatives, the preferred one first, each with the package that contains it. */
  readonly alternatives: readonly { readonly name: string; readonly package: string }[];
  /** Folders of programs in the package, below `usr/`. */
  readonly folders?: readonly string[];
  /** An argument with which the program only prints something. */
  readonly probe: string;
  /** Folder below `.dev/` for the unpacked packages. */
  readonly folder: string;
  /** The error if there is no such program. */
  readonly missing: string;
}

export interface Program {
  readonly file: string;
  /** Value of LD_LIBRARY_PATH. */
  readonly libraries: string;
}

// To try a program takes 30 ms, and tests start a hundred servers.
const runnable = new Map<string, Program>();

/** The server on PATH, or the one that was unpacked earlier. */
export function findProgram(wanted: Wanted): Program | undefined {
  for (const { name } of wanted.alternatives) {
    const file = findOnPath(name);
    if (file !== undefined) return { file, libraries: process.env['LD_LIBRARY_PATH'] ?? '' };
  }
  const folder = cacheOf(wanted);
  const program = runnable.get(folder) ?? programIn(wanted, folder);
  if (program !== undefined) runnable.set(folder, program);
  return program;
}

function cacheOf({ folder }: Wanted): string {
  return join(DEV_FOLDER, folder);
}

/** Unpacks the Debian package with missing libraries into `.dev/`, without root privileges. */
export async function unpackProgram(
  wanted: Wanted,
  log: (line: string) => void = () => {},
  signal?: AbortSignal,
): Promise<Program> {
  if (findOnPath('apt-get') === undefined) throw new Error(wanted.missing);
  log(`unpacking the ${wanted.alternatives[0]?.package} package of the distribution ...`);
  mkdirSync(DEV_FOLDER, { recursive: true });
  const folder = mkdtempSync(`${cacheOf(wanted)}.`);
  try {
    await download(wanted, { folder, log, signal });
    publish(wanted, join(folder, 'root'));
  } catch (error) {
    throw new Error(wanted.missing, { cause: error });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const program = programIn(wanted, cacheOf(wanted));
  if (program === undefined) throw new Error(wanted.missing);
  return program;
}

type Work = {
  readonly folder: string;
  readonly log: (line: string) => void;
  readonly signal: AbortSignal | undefined;
};

async function download(wanted: Wanted, work: Work): Promise<void> {
  // The system's package lists may be absent or too old for the archive; then separate lists are fetched.
  const attempts = [async () => [], () => freshLists(work)];
  let failure: unknown;
  for (const lists of attempts) {
    for (const alternative of wanted.alternatives) {
      try {
        await unpack(alternative.package, work, await lists());
        return;
      } catch (error) {
        work.signal?.throwIfAborted();
        failure = error;
      }
    }
  }
  throw failure;
}

async function freshLists(work: Work): Promise<string[]> {
  const { folder, log } = work;
  const lists = join(folder, 'lists');
  const options = ['-o', `Dir::State::Lists=${lists}`, '-o', `Dir::Cache=${join(folder, 'cache')}`];
  if (existsSync(lists)) return options;
  mkdirSync(join(lists, 'partial'), { recursive: true });
  mkdirSync(join(folder, 'cache', 'archives', 'partial'), { recursive: true });
  log('fetching package lists ...');
  await apt(work, folder, ['-o', 'Debug::NoLocking=1', ...options, 'update']);
  return options;
}

async function unpack(name: string, work: Work, options: readonly string[]): Promise<void> {
  const { folder, signal } = work;
  const packages = join(folder, 'packages');
  rmSync(packages, { recursive: true, force: true });
  mkdirSync(packages);
  const plan = await apt(work, folder, [
    ...options,
    '--simulate',
    '--no-install-recommends',
    'install',
    name,
  ]);
  const needed = [...plan.matchAll(/^Inst (\S+)/gm)].map((line) => line[1] ?? '');
  if (needed.length === 0) throw new Error(`apt-get has no plan to install ${name}`);
  await apt(work, packages, [...options, 'download', ...needed]);
  for (const file of readdirSync(packages)) {
    await exec('dpkg-deb', ['--extract', join(packages, file), join(folder, 'root')], { signal });
  }
}

async function apt({ signal }: Work, cwd: string, args: readonly string[]): Promise<string> {
  // As root, apt can write into this folder only without its sandbox user.
  const quiet = ['-q', '-o', 'APT::Sandbox::User=root', '-o', 'Acquire::Retries=3'];
  const { stdout } = await exec('apt-get', [...quiet, ...args], {
    cwd,
    env: { ...process.env, LC_ALL: 'C' },
    signal,
  });
  return stdout;
}

/** Two processes may unpack at once; either result is valid for both. */
function publish(wanted: Wanted, root: string): void {
  const cache = cacheOf(wanted);
  if (programIn(wanted, root) === undefined) throw new Error('the unpacked program does not run');
  if (programIn(wanted, cache) === undefined) rmSync(cache, { recursive: true, force: true });
  try {
    renameSync(root, cache);
  } catch (error) {
    if (programIn(wanted, cache) === undefined) throw error;
  }
}

function programIn(
  { alternatives, folders = ['bin', 'sbin'], probe }: Wanted,
  root: string,
): Program | undefined {
  const libraries = ['usr/lib', 'lib'].flatMap((folder) => librariesIn(join(root, folder))).join(':');
  const files = alternatives.flatMap(({ name }) => folders.map((part) => join(root, 'usr', part, name)));
  for (const file of files) {
    if (!existsSync(file)) continue;
    if (canRun('env', [`LD_LIBRARY_PATH=${libraries}`, file, probe])) return { file, libraries };
  }
  return undefined;
}

function librariesIn(folder: string): string[] {
  if (!existsSync(folder)) return [];
  const triplets = readdirSync(folder).filter((name) => name.includes('-linux-gnu'));
  // Some libraries are in a folder of their own, which others name by its absolute path.
  return [...triplets.flatMap((name) => [join(folder, name), join(folder, name, 'pulseaudio')]), folder];
}
