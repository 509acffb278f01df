import { constants } from 'node:os';
import { createTokenSigner, type TokenSigner } from '../test/kit/tokens.ts';
import { openClamd } from './lib/clamd.ts';
import { startDemoPage } from './lib/demo-page.ts';
import { type Demo, seedDemo } from './lib/dev-demo.ts';
import type { Author } from './lib/dev-demo-lines.ts';
import { serviceLog, startService } from './lib/dev-service.ts';
import { chooseStackPort, DEV_FOLDER, lockStack, removeEnvFile, writeEnvFile } from './lib/dev-state.ts';
import { openStorage } from './lib/dev-storage.ts';
import { openDatabase, openRedis } from './lib/dev-stores.ts';
import { EXTRA_USERS, LAN, MINH, PAGE_USERS, STRANGER } from './lib/dev-users.ts';

const TOKEN_SECONDS = 30 * 24 * 3600;
const REPEATED_SIGNAL_MS = 1_000;
const ORIGINS = ['http://localhost:3000', 'http://localhost:5173', 'http://localhost:8080'];

const stopping = stopOnSignal();

try {
  await runStack(stopping.signal);
} catch (error) {
  if (!stopping.signal.aborted) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}

/** Runs until the signal is aborted, then stops in reverse order; fails when a part ends. */
async function runStack(signal: AbortSignal): Promise<void> {
  await using stack = new AsyncDisposableStack();
  stack.defer(await lockStack());
  removeEnvFile();
  stack.defer(removeEnvFile);
  const report = (line: string) => console.error(line);

  const database = stack.adopt(await openDatabase(report), ({ stop }) => stop());
  signal.throwIfAborted();
  const redis = stack.adopt(await openRedis(report), ({ stop }) => stop());
  signal.throwIfAborted();
  const storage = stack.adopt(await openStorage(), ({ stop }) => stop());
  signal.throwIfAborted();
  const clamd = stack.adopt(await openClamd(report), ({ stop }) => stop());
  signal.throwIfAborted();

  const signer = await createTokenSigner(DEV_FOLDER);
  const addresses = await chooseAddresses();
  const service = startService({
    ...serviceEnv(signer, addresses),
    ...storage.env,
    ...(clamd.address === undefined ? {} : { CLAMD_ADDR: clamd.address }),
    DATABASE_URL: database.url,
    REDIS_URL: redis.url,
  });
  stack.defer(() => service.stop());
  const page = startDemoPage({
    port: addresses.page,
    webUrl: `http://${addresses.web}`,
    storageUrl: storage.endpoint,
    users: PAGE_USERS,
    names: EXTRA_USERS,
    sign: (user) => signer.sign(user),
  });
  stack.defer(async () => (await page).close());
  await until(Promise.all([page, service.ready(addresses.grpc)]), signal);

  const tokens = await signTokens(signer);
  const tokenOf = async (author: Author) =>
    author === undefined ? tokens.TOKEN_SERVICE : signer.sign({ ...author, tenantId: LAN.tenantId });
  const demo = await until(seedDemo(addresses.grpc, tokenOf), signal);
  const env = {
    DISCUSS_GRPC_ADDR: addresses.grpc,
    DISCUSS_WEB_URL: `http://${addresses.web}`,
    DISCUSS_PAGE_URL: (await page).url,
    DISCUSS_METRICS_URL: `http://${addresses.metrics}/metrics`,
    DATABASE_URL: database.url,
    DATABASE_OWNER_URL: database.ownerUrl ?? '',
    REDIS_URL: redis.url,
    S3_ENDPOINT: storage.endpoint,
    CLAMD_ADDR: clamd.address ?? '',
    ...tokens,
  };
  writeEnvFile(env);
  console.log(summary(env, demo));
  await until(Promise.race([service.failed, database.failed, redis.failed]), signal);
}

async function chooseAddresses() {
  return {
    grpc: `127.0.0.1:${await chooseStackPort('grpc', 9092)}`,
    web: `127.0.0.1:${await chooseStackPort('web', 8092)}`,
    page: await chooseStackPort('page', 8080),
    metrics: `127.0.0.1:${await chooseStackPort('metrics', 9464)}`,
  };
}

type Addresses = Awaited<ReturnType<typeof chooseAddresses>>;

function serviceEnv(signer: TokenSigner, addresses: Addresses): Record<string, string> {
  const adjustable = {
    // No load balancer has to notice the end.
    DRAIN_DELAY_MS: '0',
    GRPC_OPEN_REFLECTION: 'true',
    LIMIT_SEND_PER_MINUTE: '100000',
    LIMIT_READ_PER_MINUTE: '1000000',
    LIMIT_TENANT_PER_MINUTE: '5000000',
    LIMIT_CANCELLED_PER_MINUTE: '100000',
    LIMIT_STREAM_OPENS_PER_MINUTE: '100000',
    LIMIT_STREAMS_PER_USER: '2000',
    WEB_ORIGINS: [...ORIGINS, ...originsOf(addresses)].join(','),
  };
  const adjusted = Object.entries(adjustable).map(([name, value]) => [name, process.env[name] ?? value]);
  return {
    ...Object.fromEntries(adjusted),
    AUTH_JWKS_URL: signer.jwksUrl,
    AUTH_ISSUER: signer.issuer,
    AUTH_AUDIENCE: signer.audience,
    SECRET_KEYS: signer.secretKeys,
    ENCRYPTION_KEYS: `dev=${signer.secretKeys}`,
    GRPC_ADDR: addresses.grpc,
    WEB_ADDR: addresses.web,
    METRICS_ADDR: addresses.metrics,
  };
}

function originsOf({ web, page }: Addresses): string[] {
  return [`http://${web}`, `http://localhost:${page}`, `http://127.0.0.1:${page}`];
}

async function signTokens(signer: TokenSigner) {
  const sign = (claims: Parameters<TokenSigner['sign']>[0]) =>
    signer.sign({ ...claims, expiresIn: TOKEN_SECONDS });
  const { tenantId } = LAN;
  return {
    TOKEN_USER_1: await sign(LAN),
    TOKEN_USER_2: await sign(MINH),
    TOKEN_OTHER_TENANT: await sign(STRANGER),
    TOKEN_SERVICE: await sign({ userId: 0n, tenantId, name: 'demo-service', roles: ['discuss.service'] }),
    TOKEN_ADMIN: await sign({
      userId: 1n,
      tenantId,
      name: 'Operator',
      roles: ['discuss.admin', 'discuss.export'],
    }),
  };
}

function summary(env: Readonly<Record<string, string>>, demo: Demo): string {
  return [
    `page      ${env['DISCUSS_PAGE_URL']} (open it in two windows)`,
    `gRPC      ${env['DISCUSS_GRPC_ADDR']} (with health and reflection)`,
    `web       ${env['DISCUSS_WEB_URL']} (Connect, gRPC-Web)`,
    `metrics   ${env['DISCUSS_METRICS_URL']}`,
    `database  ${env['DATABASE_URL']}`,
    `Redis     ${env['REDIS_URL']}`,
    `S3        ${env['S3_ENDPOINT']}`,
    `clamd     ${env['CLAMD_ADDR'] || 'not available: files are not scanned'}`,
    `Demo: tenant ${LAN.tenantId}, users ${LAN.userId} and ${MINH.userId}, direct channel ${demo.directChannelId}, ` +
      `group ${demo.groupChannelId}. Service log: ${serviceLog}. Ctrl-C stops everything and keeps the data.`,
    '.dev/env contains these tokens, and those of another tenant, a service and an operator:',
    `TOKEN_USER_1=${env['TOKEN_USER_1']}`,
    `TOKEN_USER_2=${env['TOKEN_USER_2']}`,
    'Try:',
    '. .dev/env; npx buf curl --protocol grpc --http2-prior-knowledge --reflect ' +
      `-H "authorization: Bearer $TOKEN_USER_1" -d '{"channelId":"${demo.groupChannelId}"}' ` +
      'http://$DISCUSS_GRPC_ADDR/serp.discuss.v1.MessageService/ListMessages',
  ].join('\n');
}

/** A terminal sends Ctrl-C to the whole process group and npm forwards it, so that one key press may arrive several times. */
function stopOnSignal(): AbortController {
  const controller = new AbortController();
  let first = 0;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (first === 0) console.error('stopping ...');
      else if (Date.now() - first > REPEATED_SIGNAL_MS) process.exit(128 + constants.signals[signal]);
      first ||= Date.now();
      controller.abort();
    });
  }
  return controller;
}

async function until<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  if (signal.aborted) abort();
  return Promise.race([work, aborted.promise]);
}
