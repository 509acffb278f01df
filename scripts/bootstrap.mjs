// Runs on any Node >= 18 and imports no package.
// usage: node scripts/bootstrap.mjs [script] [arguments]
import { spawn, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { constants } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');
const NODE_TOOL = join(ROOT, 'tools', 'node');
const LOCK = join(ROOT, '.dev', 'install.lock');
const LOCK_STALE_MS = 60_000;
const PROGRESS_INTERVAL_MS = 10_000;
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'];

const env = { ...process.env };

try {
  await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
}

async function main() {
  const node = await ensureInstalled();
  env.PATH = [join(ROOT, 'node_modules', '.bin'), env.PATH].join(delimiter);
  const [script, ...args] = process.argv.slice(2);
  if (script === undefined) return;
  process.exit(await run(node, [script, ...args], { cwd: ROOT, env, stdio: 'inherit' }, 'TERM'));
}

// Returns the path of Node 24 or newer.
async function ensureInstalled() {
  const [major = 0] = process.versions.node.split('.').map(Number);
  const isNodeWanted = major < 24;
  const bin = join(NODE_TOOL, 'node_modules', `node-${process.platform}-${process.arch}`, 'bin');
  const missing = () => [
    ...(isNodeWanted && !(isInstalled(NODE_TOOL) && existsSync(join(bin, 'node'))) ? [NODE_TOOL] : []),
    ...(isInstalled(ROOT) ? [] : [ROOT]),
  ];
  if (missing().length > 0) await install(missing);
  if (!isNodeWanted) return process.execPath;
  if (!existsSync(join(bin, 'node'))) {
    throw new Error(`Node 24 is needed; no package exists for ${process.platform} ${process.arch}.`);
  }
  env.PATH = [bin, env.PATH].join(delimiter);
  return join(bin, 'node');
}

// npm writes node_modules/.package-lock.json last, so that an interrupted install never looks complete
// and a manual install is recognised.
function isInstalled(folder) {
  const wanted = packagesIn(join(folder, 'package-lock.json'));
  const found = packagesIn(join(folder, 'node_modules', '.package-lock.json'));
  if (wanted === undefined) throw new Error(`${folder} has no readable package-lock.json`);
  if (found === undefined) return false;
  const same = (name) => found[name]?.version === wanted[name]?.version;
  const missing = Object.keys(wanted).filter((name) => name !== '' && !found[name] && !wanted[name].optional);
  return missing.length === 0 && Object.keys(found).every(same);
}

function packagesIn(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8')).packages;
  } catch {
    return undefined;
  }
}

async function install(missing) {
  const release = await takeLock();
  try {
    // Another process may have installed them while this one waited.
    await Promise.all(missing().map(installFolder));
  } finally {
    release();
  }
}

async function installFolder(folder) {
  const isNode = folder === NODE_TOOL;
  const what = isNode ? `installing Node 24, this machine has ${process.version}` : 'installing packages';
  console.error(`${what} ...`);
  const started = Date.now();
  const seconds = () => Math.round((Date.now() - started) / 1000);
  const progress = setInterval(() => console.error(`${what} ... ${seconds()} s`), PROGRESS_INTERVAL_MS);
  const code = await npmCi(folder).finally(() => clearInterval(progress));
  if (code !== 0) throw new Error(`npm ci failed in ${folder}`);
  console.error(`${what}: done in ${seconds()} s`);
}

function npmCi(folder) {
  // Settings of the calling npm refer to this project and must not reach the npm that we call.
  const inherited = /^npm_(config_(local_prefix|prefix|include|omit|only|production)|package_|lifecycle_)/i;
  const clean = Object.fromEntries(Object.entries(env).filter(([name]) => !inherited.test(name)));
  const args = ['ci', '--include=dev', '--include=optional', '--no-audit', '--no-fund', '--loglevel=error'];
  // Ended by SIGKILL, because npm takes long to stop; an incomplete install is detected.
  return run('npm', args, { cwd: folder, env: clean, stdio: ['ignore', 2, 2] }, 'KILL');
}

// Creating a folder is atomic on every system; its age reveals a holder that was killed.
async function takeLock() {
  mkdirSync(dirname(LOCK), { recursive: true });
  for (let isAnnounced = false; ; ) {
    try {
      mkdirSync(LOCK);
      break;
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    }
    if (isLockStale()) {
      breakLock();
      continue;
    }
    if (!isAnnounced) console.error('waiting for another install of this project ...');
    isAnnounced = true;
    await new Promise((done) => setTimeout(done, 250));
  }
  writeFileSync(join(LOCK, 'pid'), String(process.pid));
  const touch = () => utimesSync(LOCK, new Date(), new Date());
  const alive = setInterval(touch, LOCK_STALE_MS / 10);
  const drop = () => rmSync(LOCK, { recursive: true, force: true });
  process.once('exit', drop);
  return () => {
    clearInterval(alive);
    process.off('exit', drop);
    drop();
  };
}

function isLockStale() {
  try {
    if (Date.now() - statSync(LOCK).mtimeMs > LOCK_STALE_MS) return true;
    process.kill(Number(readFileSync(join(LOCK, 'pid'), 'utf8')), 0);
    return false;
  } catch (error) {
    return error.code === 'ESRCH';
  }
}

function breakLock() {
  const aside = `${LOCK}.${process.pid}`;
  try {
    renameSync(LOCK, aside);
  } catch {
    return;
  }
  rmSync(aside, { recursive: true, force: true });
}

async function run(command, args, options, orphanSignal) {
  const child = spawn(...guarded(command, args, orphanSignal), options);
  const pass = (signal) => child.kill(orphanSignal === 'KILL' ? 'SIGKILL' : signal);
  for (const signal of SIGNALS) process.on(signal, pass);
  const callers = waitingCallers();
  const orphaned = setInterval(() => waitingCallers() !== callers && pass('SIGTERM'), 1000);
  try {
    return await new Promise((done, fail) => {
      child.once('error', fail);
      child.once('exit', (code, signal) => done(code ?? 128 + constants.signals[signal]));
    });
  } finally {
    clearInterval(orphaned);
    for (const signal of SIGNALS) process.off(signal, pass);
  }
}

// npm, behind a shell, and make wait for this process; when they have ended, nothing else stops the child.
function waitingCallers() {
  if (env.npm_lifecycle_event === undefined && env.MAKELEVEL === undefined) return '';
  const { ppid } = process;
  try {
    const shell = readFileSync(`/proc/${ppid}/cmdline`, 'utf8').startsWith('sh\0-c\0');
    const stat = readFileSync(`/proc/${ppid}/stat`, 'utf8');
    return shell ? `${ppid} ${stat.slice(stat.lastIndexOf(')')).split(' ')[2]}` : `${ppid}`;
  } catch {
    return `${ppid}`;
  }
}

// The kernel ends the child when this process is killed and cannot pass the signal on.
function guarded(command, args, orphanSignal) {
  const guard = ['--pdeathsig', orphanSignal];
  const works = spawnSync('setpriv', [...guard, 'true']).status === 0;
  return works ? ['setpriv', [...guard, command, ...args]] : [command, args];
}
