import { type ChildProcess, type SpawnOptions, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const living = new Set<ChildProcess>();
let hasPdeathsig: boolean | undefined;

export interface Launch {
  readonly command: readonly string[];
  /** Sent by the kernel when this process dies, however it dies. */
  readonly orphanSignal: 'SIGTERM' | 'SIGINT' | 'SIGQUIT' | 'SIGKILL';
  readonly env?: NodeJS.ProcessEnv;
  readonly stdio?: SpawnOptions['stdio'];
  /** Options of setpriv that drop privileges. */
  readonly privileges?: readonly string[];
}

/** Starts a program in a session of its own, so that Ctrl-C reaches only us and we choose the order of stopping. */
export function launch(options: Launch): ChildProcess {
  hasPdeathsig ??= canRun('setpriv', ['--pdeathsig', 'TERM', 'true']);
  const guard = ['setpriv', '--pdeathsig', options.orphanSignal.slice(3), ...(options.privileges ?? [])];
  const [command = '', ...args] = hasPdeathsig ? [...guard, ...options.command] : options.command;
  const child = spawn(command, args, {
    detached: true,
    env: options.env ?? process.env,
    stdio: options.stdio ?? ['ignore', 'ignore', 'pipe'],
  });
  if (living.size === 0) process.once('exit', killLiving);
  living.add(child);
  const forget = () => living.delete(child);
  child.once('exit', forget).once('error', forget);
  return child;
}

/** Asks a process to end and insists after the deadline. */
export async function stop(child: ChildProcess, signal: NodeJS.Signals, deadlineMs: number): Promise<void> {
  if (hasEnded(child)) return;
  const ended = once(child, 'exit');
  child.kill(signal);
  const insist = setTimeout(() => child.kill('SIGKILL'), deadlineMs);
  await ended.finally(() => clearTimeout(insist));
}

export function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null || child.pid === undefined;
}

/** The last lines a process wrote, for the message when it does not come up. */
export function tailOf(child: ChildProcess, lines = 20): () => string {
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (chunk: string) => {
      text = (text + chunk).split('\n').slice(-lines).join('\n');
    });
  }
  return () => text.trim();
}

/** Asks again until the answer is not undefined; fails with `what` after the deadline. */
export async function waitUntil<T>(
  what: string,
  deadlineMs: number,
  ask: () => Promise<T | undefined> | T | undefined,
): Promise<T> {
  const deadline = Date.now() + deadlineMs;
  for (let pauseMs = 10; ; pauseMs = Math.min(pauseMs * 1.5, 250)) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (Date.now() > deadline) throw new Error(`${what}: not within ${deadlineMs / 1000} s`);
    await sleep(pauseMs);
  }
}

/** `wanted` if nobody listens there, else any free port. */
export async function freePort(wanted = 0): Promise<number> {
  const server = createServer();
  const listening = once(server, 'listening');
  server.listen(wanted, '127.0.0.1');
  try {
    await listening;
  } catch (error) {
    if (wanted === 0) throw error;
    return freePort();
  }
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('the system gave no port');
  return address.port;
}

export function canRun(command: string, args: readonly string[]): boolean {
  return spawnSync(command, args, { stdio: 'ignore' }).status === 0;
}

export function findOnPath(name: string): string | undefined {
  return (process.env['PATH'] ?? '')
    .split(delimiter)
    .map((folder) => join(folder, name))
    .find((file) => existsSync(file));
}

/** A folder in memory where the machine has one, removed by `remove` or when this process dies. */
export function scratchFolder(prefix: string): { path: string; remove(): void } {
  const path = mkdtempSync(join(scratchBase(), `${prefix}-`));
  // Reads until we are gone; servers may still be writing for a moment, so it looks more than once.
  const script = 'cat >/dev/null; for _ in 1 2 3 4 5; do rm -rf "$0"; sleep 0.4; [ -e "$0" ] || exit 0; done';
  const janitor = spawn('sh', ['-c', script, path], { detached: true, stdio: ['pipe', 'ignore', 'ignore'] });
  janitor.unref();
  if (janitor.stdin instanceof Socket) janitor.stdin.unref();
  return {
    path,
    remove() {
      rmSync(path, { recursive: true, force: true });
      janitor.kill('SIGKILL');
    },
  };
}

function scratchBase(): string {
  try {
    accessSync('/dev/shm', constants.W_OK);
    return '/dev/shm';
  } catch {
    return tmpdir();
  }
}

function killLiving(): void {
  for (const child of living) child.kill('SIGKILL');
}
