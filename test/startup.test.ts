import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type App, app } from './kit/app.ts';
import { FaultProxy } from './kit/fault-proxy.ts';
import { until } from './kit/until.ts';

const WAIT_MS = 30_000;

describe('a process that starts', () => {
  let the: App;
  let proxy: FaultProxy;
  let folder: string;

  before(async () => {
    the = await app();
    proxy = await FaultProxy.open(Number(new URL(the.database.serviceUrl).port), false);
    folder = await mkdtemp(join(tmpdir(), 'startup-'));
  });
  after(async () => {
    await the.close();
    await proxy.close();
    await rm(folder, { recursive: true });
  });

  /** A URL of the database through the proxy. */
  const through = (url: string) => {
    const changed = new URL(url);
    changed.port = `${proxy.port}`;
    return changed.href;
  };
  const healthcheck = (address: string) => service({ METRICS_ADDR: address }, 'src/healthcheck.ts').exitCode;
  const service = (changes: Record<string, string>, script = 'src/main.ts') =>
    start(script, {
      DATABASE_URL: through(the.database.serviceUrl),
      REDIS_URL: the.redis.url,
      REDIS_CLUSTER: String(the.redis.cluster),
      AUTH_JWKS_URL: the.tokens.jwksUrl,
      AUTH_ISSUER: the.tokens.issuer,
      AUTH_AUDIENCE: the.tokens.audience,
      SECRET_KEYS: the.tokens.secretKeys,
      GRPC_ADDR: '127.0.0.1:0',
      WEB_ADDR: '127.0.0.1:0',
      METRICS_ADDR: '127.0.0.1:0',
      DRAIN_DELAY_MS: '0',
      ...changes,
    });

  it('gives up after the time-out when the server closes all connections, and logs host and cause', async () => {
    proxy.mode = 'close';
    const before = proxy.attempts;
    const limits = { DATABASE_STARTUP_TIMEOUT_MS: '1500', DATABASE_CONNECT_TIMEOUT_MS: '500' };
    const process = service(limits);
    assert.equal(await process.exitCode, 1);
    const cause = new RegExp(`127\\.0\\.0\\.1:${proxy.port} closes connections before it responds`);
    const [waiting, ...rest] = process.output().split('\n').filter(Boolean);
    assert.match(waiting ?? '', /"level":"warn".*waiting for PostgreSQL/);
    assert.match(waiting ?? '', cause);
    assert.match(rest.at(-1) ?? '', /"level":"fatal".*cannot start/);
    assert.ok(proxy.attempts - before < 100, `${proxy.attempts - before} connections`);
    assert.doesNotMatch(process.output(), new RegExp(new URL(the.database.serviceUrl).password));
  });

  it('waits for a server that becomes available, and ends on SIGTERM', async () => {
    proxy.mode = 'close';
    const process = service({ DATABASE_CONNECT_TIMEOUT_MS: '1000' });
    await until(() => process.output().includes('waiting for PostgreSQL'), 'the log line', WAIT_MS);
    assert.equal(await healthcheck('127.0.0.1:1'), 1);
    proxy.mode = 'pass';
    await until(() => process.output().includes('"serving"'), 'the start', WAIT_MS);
    assert.equal(await healthcheck(/"metrics":"([^"]+)"/.exec(process.output())?.[1] ?? ''), 0);
    process.child.kill('SIGTERM');
    assert.equal(await process.exitCode, 0);
    assert.match(process.output(), /"stopped"/);
  });

  it('ends on SIGTERM before it serves', async () => {
    proxy.mode = 'stall';
    const process = service({});
    await until(() => proxy.connections > 0, 'a connection', WAIT_MS);
    process.child.kill('SIGTERM');
    assert.equal(await process.exitCode, 0);
    assert.match(process.output(), /stopped before it served/);
    proxy.mode = 'pass';
  });

  it('ends on SIGTERM while it loads', async () => {
    // Sends the signal when the first module that takes long to load is reached.
    const hook = `import { registerHooks } from 'node:module';
      registerHooks({ load(url, context, next) {
        if (url.endsWith('/src/service.ts')) process.kill(process.pid, 'SIGTERM');
        return next(url, context);
      } });`;
    const started = service({ NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(hook)}` });
    assert.equal(await started.exitCode, 0);
    assert.match(started.output(), /stopped before it served/);
  });

  it('for a migration gives up after the time-out, too', async () => {
    proxy.mode = 'close';
    const file = join(folder, 'url');
    await writeFile(file, `${through(the.database.ownerUrl)}\n`);
    const env = { DATABASE_OWNER_URL_FILE: file, DATABASE_STARTUP_TIMEOUT_MS: '1000' };
    const process = start('scripts/migrate.ts', env);
    assert.equal(await process.exitCode, 1);
    assert.match(process.output(), /closes connections before it responds/);
  });

  it('for a migration ends on SIGTERM, as the first process of a container does only with a handler', async () => {
    proxy.mode = 'stall';
    const before = proxy.attempts;
    const process = start('scripts/migrate.ts', { DATABASE_OWNER_URL: through(the.database.ownerUrl) });
    await until(() => proxy.attempts > before, 'a connection', WAIT_MS);
    process.child.kill('SIGTERM');
    assert.equal(await process.exitCode, 143);
  });

  it('for a migration reads the URL from a file', async () => {
    proxy.mode = 'pass';
    const file = join(folder, 'url');
    await writeFile(file, `${through(the.database.ownerUrl)}\n`);
    const process = start('scripts/migrate.ts', { DATABASE_OWNER_URL_FILE: file });
    assert.equal(await process.exitCode, 0);
    assert.match(process.output(), /nothing to apply/);
  });
});

type Started = { child: ChildProcess; exitCode: Promise<number | null>; output: () => string };

function start(script: string, env: Record<string, string>): Started {
  const child = spawn(process.execPath, [script], {
    env: { ...process.env, LOG_LEVEL: 'info', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
  // `close` comes after the end of the output.
  const exitCode = once(child, 'close').then(([code]) => code);
  return { child, exitCode, output: () => text };
}
