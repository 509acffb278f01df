import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { freePort } from './processes.ts';

/** The folder of the development stack's data, below the project's root. */
export const DEV_FOLDER = '.dev';

export const envFile = join(DEV_FOLDER, 'env');
const portsFile = join(DEV_FOLDER, 'ports.json');
// Relative, because the system limits the length of a socket's path.
const lockSocket = join(DEV_FOLDER, 'running.sock');

/** Takes a lock for as long as a stack runs in this folder; the system releases it when this process ends. */
export async function lockStack(): Promise<() => void> {
  mkdirSync(DEV_FOLDER, { recursive: true });
  const holder = await findHolder();
  if (holder !== undefined)
    throw new Error(`A stack is already running in this folder, as process ${holder}.`);
  rmSync(lockSocket, { force: true });
  const server = createServer((socket) => socket.on('error', () => {}).end(`${process.pid}`));
  await new Promise<void>((done, fail) => {
    server.once('error', fail);
    server.listen(lockSocket, done);
  });
  server.unref();
  return () => server.close();
}

/** The port of the last start, else the default port, else any free port. It is stored for the next start. */
export async function chooseStackPort(name: string, defaultPort: number): Promise<number> {
  const ports = readPorts();
  const port = await freePort(ports[name] ?? defaultPort);
  writeFileSync(portsFile, `${JSON.stringify({ ...ports, [name]: port }, null, 2)}\n`);
  return port;
}

/** A secret that is created once and stored. */
export function storedSecret(name: string, make: () => string): string {
  const file = join(DEV_FOLDER, name);
  try {
    return readFileSync(file, 'utf8');
  } catch {
    const secret = make();
    writeFileSync(file, secret, { mode: 0o600 });
    return secret;
  }
}

/** Creates the file by a rename, so that a process that waits for it never reads a part of it. */
export function writeEnvFile(values: Readonly<Record<string, string>>): void {
  const lines = Object.entries(values).map(([name, value]) => `${name}=${shellWord(value)}\n`);
  writeFileSync(`${envFile}.new`, lines.join(''), { mode: 0o600 });
  renameSync(`${envFile}.new`, envFile);
}

export function removeEnvFile(): void {
  rmSync(envFile, { force: true });
}

function findHolder(): Promise<string | undefined> {
  return new Promise((done) => {
    const socket = connect(lockSocket);
    socket.once('error', () => done(undefined));
    socket.once('data', (data) => done(data.toString()));
    socket.once('close', () => done(undefined));
  });
}

function readPorts(): Record<string, number> {
  try {
    const ports: Record<string, number> = JSON.parse(readFileSync(portsFile, 'utf8'));
    return ports;
  } catch {
    return {};
  }
}

function shellWord(value: string): string {
  return /^[\w.:/@%+=,-]+$/.test(value) ? value : `'${value.replaceAll("'", "'\\''")}'`;
}
