import { type ChildProcess, type SpawnOptions, spawn, spawnSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { accessSync, constants, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const running = new Set<ChildProcess>();
let hasPdeathsig: boolean | undefined;

export interface Launch {
  readonly command: readonly string[];
  /** Sent by the kernel when this process ends for any reason. */
  readonly orphanSignal: 'SIGTERM' | 'SIGINT' | 'SIGQUIT' | 'SIGKILL';
  readonly env?: NodeJS.ProcessEnv;
  readonly stdio?: SpawnOptions['stdio'];
  /** Options of setpriv that drop privileges. */
  readonly privileges?: readonly string[];
}

/** Starts a program in its own session, so that Ctrl-C reaches only this process, which decides the order of stopping. */
export function launch(options: Launch): ChildProcess {
  hasPdeathsig ??= canRun('setpriv', ['--pdeathsig', 'TERM', 'true']);
  const guard = ['setpriv', '--pdeathsig', options.orphanSignal.slice(3), ...(options.privileges ?? [])];
  const [command = '', ...args] = hasPdeathsig ? [...guard, ...options.command] : options.command;
  const child = spawn(command, args, {
    detached: true,
    env: options.env ?? process.env,
    stdio: options.stdio ?? ['ignore', 'ignore', 'pipe'],
  });
  if (running.size === 0) process.once('exit', killRunning);
  running.add(child);
  const remove = () => running.delete(child);
  child.once('exit', remove).once('error', remove);
  return child;
}

/** Sends a signal to a process, and SIGKILL after the deadline; waits for its end. */
export async function stop(child: ChildProcess, signal: NodeJS.Signals, deadlineMs: number): Promise<void> {
  if (hasEnded(child)) return;
  const ended = once(child, 'exit');
  child.kill(signal);
  const killTimer = setTimeout(() => child.kill('SIGKILL'), deadlineMs);
  await ended.finally(() => clearTimeout(killTimer));
}

export function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null || child.pid === undefined;
}

/** The last lines of a process's output, for the error message when it does not start. */
export function tailOf(child: ChildProcess, lines = 20): () => string {
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (chunk: string) => {
      text = (text + chunk).split('\n').slice(-lines).join('\n');
    });
  }
  return () => text.trim();
}

/** Calls `poll` until its result is not undefined; fails with `what` after the deadline. */
export async function waitUntil<T>(
  what: string,
  deadlineMs: number,
  poll: () => Promise<T | undefined> | T | undefined,
): Promise<T> {
  const deadline = Date.now() + deadlineMs;
  for (let pauseMs = 10; ; pauseMs = Math.min(pauseMs * 1.5, 250)) {
    const result = await poll();
    if (result !== undefined) return result;
    if (Date.now() > deadline) throw new Error(`${what}: not within ${deadlineMs / 1000} s`);
    await sleep(pauseMs);
  }
}

// The system takes the ports of outgoing connections from 32768 on: a server that restarts finds its port free.
const FIRST_PORT = 12_000;
const PORTS = 20_000;

/** The port `wanted` if it is free, else any free port. */
export async function freePort(wanted = 0): Promise<number> {
  const port = wanted === 0 ? randomInt(FIRST_PORT, FIRST_PORT + PORTS) : wanted;
  const server = createServer();
  const listening = once(server, 'listening');
  server.listen(port, '127.0.0.1');
  try {
    await listening;
  } catch {
    return freePort();
  }
  server.close();
  await once(server, 'close');
  return port;
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

/** A temporary folder, in memory where possible; removed by `remove` or when this process ends. */
export function scratchFolder(prefix: string): { path: string; remove(): void } {
  const path = mkdtempSync(join(scratchBase(), `${prefix}-`));
  // Reads until this process has ended; servers may write for a moment after that, so it removes the folder repeatedly.
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

function killRunning(): void {
  for (const child of running) child.kill('SIGKILL');
}
