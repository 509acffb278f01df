import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join, resolve } from 'node:path';
import { EICAR } from '../../test/kit/clamd.ts';
import { findProgram, type Program, unpackProgram, type Wanted } from './debian-program.ts';
import { chooseStackPort, DEV_FOLDER } from './dev-state.ts';
import { freePort, launch, scratchFolder, stop, tailOf, waitUntil } from './processes.ts';

const PROGRAM: Wanted = {
  alternatives: [{ name: 'clamd', package: 'clamav-daemon' }],
  // Not --version, which needs a configuration file.
  probe: '--help',
  folder: 'clamav',
  missing: 'there is no clamd on PATH, and the package of the distribution could not be unpacked',
};
const SYSTEM_DATABASE = '/var/lib/clamav';
const PORT = 13_310;
const START_MS = 90_000;
const STOP_MS = 5_000;

export interface Clamd {
  /** CLAMD_ADDR; undefined if there is no clamd. */
  readonly address: string | undefined;
  /** Of a clamd that this stack has started. */
  readonly pid: number | undefined;
  stop(): Promise<void>;
}

/**
 * The clamd of CLAMD_ADDR, else one of this stack, with the machine's database if it has one, else with a database that
 * finds the EICAR test file only. Without clamd the stack works, but no file is scanned.
 */
export async function openClamd(report: (line: string) => void): Promise<Clamd> {
  const given = process.env['CLAMD_ADDR'] ?? '';
  if (given !== '') return { address: given, pid: undefined, stop: async () => {} };
  try {
    return await startClamd(report);
  } catch (error) {
    report(`Files are not scanned: ${error instanceof Error ? error.message : error}.`);
    return { address: undefined, pid: undefined, stop: async () => {} };
  }
}

/**
 * For tests and benchmarks: the clamd of TEST_CLAMD_ADDR, else one with the database of the EICAR test file, if the
 * program is on PATH or `npm start` has unpacked it.
 */
export async function openTestClamd(): Promise<Clamd | undefined> {
  const given = process.env['TEST_CLAMD_ADDR'] ?? '';
  if (given !== '') return { address: given, pid: undefined, stop: async () => {} };
  const program = findProgram(PROGRAM);
  if (program === undefined) return undefined;
  const folder = scratchFolder('discuss-clamd');
  const clamd = await launchClamd(program, await freePort(), folder.path, testDatabaseIn(folder.path));
  return { ...clamd, stop: () => clamd.stop().finally(() => folder.remove()) };
}

async function startClamd(report: (line: string) => void): Promise<Clamd> {
  const program = findProgram(PROGRAM) ?? (await unpackProgram(PROGRAM, report));
  const port = await chooseStackPort('clamd', PORT);
  const folder = resolve(DEV_FOLDER, 'clamd');
  return launchClamd(program, port, folder, databaseIn(folder));
}

async function launchClamd(program: Program, port: number, folder: string, database: string): Promise<Clamd> {
  const config = join(folder, 'clamd.conf');
  writeFileSync(config, configOf(folder, database, port));
  const child = launch({
    command: [program.file, '--config-file', config],
    orphanSignal: 'SIGTERM',
    env: { ...process.env, LD_LIBRARY_PATH: program.libraries },
  });
  const tail = tailOf(child);
  const ended = new Promise<never>((_, fail) => {
    child.once('error', fail);
    child.once('exit', () => fail(new Error(`clamd has ended: ${tail()}`)));
  });
  ended.catch(() => {});
  await Promise.race([ended, waitUntil('clamd responds', START_MS, () => responds(port))]);
  return { address: `127.0.0.1:${port}`, pid: child.pid, stop: () => stop(child, 'SIGTERM', STOP_MS) };
}

function configOf(folder: string, database: string, port: number): string {
  return [
    `DatabaseDirectory ${database}`,
    `TCPSocket ${port}`,
    'TCPAddr 127.0.0.1',
    'Foreground yes',
    `TemporaryDirectory ${folder}`,
    'StreamMaxLength 101M',
    'MaxScanSize 400M',
    'MaxFileSize 101M',
    'SelfCheck 0',
    '',
  ].join('\n');
}

function databaseIn(folder: string): string {
  const isDatabase = (name: string) => /\.(cvd|cld)$/.test(name);
  if (existsSync(SYSTEM_DATABASE) && readdirSync(SYSTEM_DATABASE).some(isDatabase)) return SYSTEM_DATABASE;
  return testDatabaseIn(folder);
}

function testDatabaseIn(folder: string): string {
  const database = join(folder, 'database');
  mkdirSync(database, { recursive: true });
  const md5 = createHash('md5').update(EICAR).digest('hex');
  writeFileSync(join(database, 'test.hdb'), `${md5}:${EICAR.length}:Eicar-Test-Hash\n`);
  writeFileSync(join(database, 'test.ndb'), `Eicar-Test-Signature:0:*:${EICAR.toString('hex')}\n`);
  return database;
}

function responds(port: number): Promise<true | undefined> {
  return new Promise((done) => {
    const socket = connect(port, '127.0.0.1', () => socket.write('zPING\0'));
    const settle = (isReady: boolean) => {
      socket.destroy();
      done(isReady ? true : undefined);
    };
    socket.once('data', (data) => settle(data.toString().startsWith('PONG')));
    socket.once('error', () => settle(false)).once('close', () => settle(false));
    socket.setTimeout(1_000, () => settle(false));
  });
}
