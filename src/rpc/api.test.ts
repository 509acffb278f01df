import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Code } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { QuotaFailureSchema, RetryInfoSchema } from '#gen/google/rpc/error_details_pb.ts';
import { EchoService, UnimplementedService } from '../../test/kit/edge/echo.ts';
import {
  bearer,
  clientOf,
  failureOf,
  openEdges,
  type TestEdges,
  testEnv,
} from '../../test/kit/edge/edges.ts';
import { toConfig } from '../config.ts';
import { openCallSchedule } from '../limit/call-schedule.ts';
import { LocalLimiter } from '../limit/local.ts';
import { createLogger } from '../telemetry/log.ts';
import { createMetrics } from '../telemetry/metrics.ts';
import { createApi } from './api.ts';
import { route } from './call.ts';

const names = { channelId: 1n, messageId: 1n };
const parts = {
  config: toConfig(testEnv),
  log: createLogger('silent'),
  metrics: createMetrics(),
  limiter: new LocalLimiter(Date.now),
  callSchedule: openCallSchedule(toConfig(testEnv).call, createMetrics()),
  revocations: { isRevoked: () => false },
  now: Date.now,
};

test('an RPC without an access option fails the start', async () => {
  const routes = [route(UnimplementedService, { read: async () => ({}) })];
  await assert.rejects(createApi(routes, parts), /has no access option/);
});

test('an RPC without a handler fails the start', async () => {
  await assert.rejects(createApi([{ service: EchoService, handlers: {} }], parts), /has no handler/);
});

test('each kind of caller may call its own methods only', async () => {
  await using edges = await openEdges();
  const tokens = {
    user: await edges.signer.sign({ userId: 7n, tenantId: 3n }),
    service: await edges.signer.sign({ userId: 0n, tenantId: 3n, roles: ['discuss.service'] }),
    operator: await edges.signer.sign({ userId: 0n, tenantId: 0n, roles: ['discuss.admin'] }),
    'operator with a user id': await edges.signer.sign({
      userId: 7n,
      tenantId: 3n,
      roles: ['discuss.admin'],
    }),
  };
  const client = meshClient(edges);
  const allowed: Record<string, string[]> = {};
  for (const [kind, token] of Object.entries(tokens)) {
    for (const method of ['read', 'serve', 'operate'] as const) {
      const result = await client[method](names, bearer(token)).then(
        () => method,
        (error) => Code[error.code],
      );
      allowed[kind] = [...(allowed[kind] ?? []), result ?? ''];
    }
  }
  const denied = 'PermissionDenied';
  assert.deepEqual(allowed, {
    user: ['read', denied, denied],
    service: [denied, 'serve', denied],
    operator: [denied, denied, 'operate'],
    'operator with a user id': ['read', denied, 'operate'],
  });
});

test('a service acts for the user that it names, and a user cannot', async () => {
  await using edges = await openEdges();
  const client = meshClient(edges);
  const acting = { 'x-user-id': '42', 'x-tenant-id': '5' };
  const roles = ['discuss.service'];
  const service = await edges.signer.sign({ userId: 0n, tenantId: 3n, roles, tenants: [5n] });
  const asService = await client.read(names, { headers: { ...bearer(service).headers, ...acting } });
  assert.deepEqual([asService.message?.senderId, asService.message?.id], [42n, 5n]);
  const asUser = await client.read(names, { headers: { ...bearer(edges.token).headers, ...acting } });
  assert.deepEqual([asUser.message?.senderId, asUser.message?.id], [7n, 3n]);
});

test('calls of a user are limited per minute, reads and writes separately', async () => {
  let time = Date.now();
  await using edges = await openEdges(
    {},
    { LIMIT_SEND_PER_MINUTE: '3', LIMIT_READ_PER_MINUTE: '2' },
    () => time,
  );
  const client = meshClient(edges);
  const write = () => client.write({ channelId: 1n, content: 'x' }, bearer(edges.token));
  for (let call = 0; call < 3; call++) await write();
  const { error, reason } = await failureOf(write());
  assert.equal(error.code, Code.ResourceExhausted);
  assert.equal(reason, 'RATE_LIMITED');
  const [retry] = error.findDetails(RetryInfoSchema);
  assert.equal(retry?.retryDelay?.seconds, 20n);
  const [quota] = error.findDetails(QuotaFailureSchema);
  assert.equal(quota?.violations[0]?.description, '3 writes per minute and user');

  await client.read(names, bearer(edges.token));
  time += 20_000;
  await write();
  assert.equal((await failureOf(write())).error.code, Code.ResourceExhausted);
  const other = await edges.signer.sign({ userId: 8n, tenantId: 3n });
  await client.write({ channelId: 1n, content: 'x' }, bearer(other));
});

test('a call that a service makes for a user counts against the user', async () => {
  await using edges = await openEdges({}, { LIMIT_READ_PER_MINUTE: '1' });
  const client = meshClient(edges);
  const service = await edges.signer.sign({ userId: 0n, tenantId: 3n, roles: ['discuss.service'] });
  const actAs = (userId: string) => ({ headers: { ...bearer(service).headers, 'x-user-id': userId } });
  await client.read(names, actAs('7'));
  assert.equal((await failureOf(client.read(names, actAs('7')))).error.code, Code.ResourceExhausted);
  assert.equal((await failureOf(client.read(names, bearer(edges.token)))).error.code, Code.ResourceExhausted);
  await client.read(names, actAs('8'));
  for (let call = 0; call < 3; call++) await client.serve(names, bearer(service));
});

test('calls of a tenant are limited over both edges together', async () => {
  await using edges = await openEdges({}, { LIMIT_TENANT_PER_MINUTE: '2', LIMIT_TENANT_BURST_MS: '60000' });
  const mesh = meshClient(edges);
  const web = clientOf(createGrpcTransport({ baseUrl: `http://${edges.web.address}` }));
  await mesh.read(names, bearer(edges.token));
  await web.read(names, bearer(await edges.signer.sign({ userId: 8n, tenantId: 3n })));
  assert.equal((await failureOf(mesh.read(names, bearer(edges.token)))).reason, 'RATE_LIMITED');
  await mesh.read(names, bearer(await edges.signer.sign({ userId: 8n, tenantId: 4n })));
});

test('concurrent streams of a user are limited, and the end of one permits another', async () => {
  await using edges = await openEdges(
    {
      stream: (_request, { signal }) =>
        new Promise((resolve) => signal.addEventListener('abort', () => resolve())),
    },
    { LIMIT_STREAMS_PER_USER: '1' },
  );
  const client = meshClient(edges);
  const controller = new AbortController();
  const first = failureOf(
    client
      .stream({}, { ...bearer(edges.token), signal: controller.signal })
      [Symbol.asyncIterator]()
      .next(),
  );
  await untilOpen(edges, 1);
  const second = (timeoutMs: number) =>
    client
      .stream({}, { ...bearer(edges.token), timeoutMs })
      [Symbol.asyncIterator]()
      .next();
  assert.equal((await failureOf(second(30_000))).reason, 'RATE_LIMITED');
  controller.abort();
  await first;
  await untilOpen(edges, 0);
  assert.equal((await failureOf(second(200))).error.code, Code.DeadlineExceeded);
});

test('text that PostgreSQL cannot store is rejected with the name of its field', async () => {
  await using edges = await openEdges();
  const client = meshClient(edges);
  const inText = await failureOf(client.write({ channelId: 1n, content: 'a\0b' }, bearer(edges.token)));
  assert.equal(inText.error.rawMessage, 'content: must not contain the character U+0000');
  const metadata = { deep: [{ 'a\0': 1 }] };
  const inStruct = await failureOf(
    client.write({ channelId: 1n, content: 'x', metadata }, bearer(edges.token)),
  );
  assert.equal(inStruct.error.rawMessage, 'metadata: must not contain the character U+0000');
});

test('unary calls have a default deadline and a maximum deadline', async () => {
  const deadlines: number[] = [];
  await using edges = await openEdges(
    {
      read: async (_request, call) => {
        deadlines.push((call.deadline ?? 0) - Date.now());
        return {};
      },
    },
    { DEFAULT_DEADLINE_MS: '5000', MAX_DEADLINE_MS: '8000' },
  );
  for (const open of [edges.grpc.address, edges.web.address]) {
    const client = clientOf(createGrpcTransport({ baseUrl: `http://${open}` }));
    await client.read(names, bearer(edges.token));
    await client.read(names, { ...bearer(edges.token), timeoutMs: 60_000 });
  }
  for (const [index, expected] of [5000, 8000, 5000, 8000].entries()) {
    const left = deadlines[index] ?? 0;
    assert.ok(left <= expected && left > expected - 2_500, `${left} for ${expected}`);
  }
});

test('each call has one log line, without token or content, and one observation', async () => {
  await using edges = await openEdges();
  const client = meshClient(edges);
  await client.write({ channelId: 1n, content: 'a secret' }, bearer(edges.token));
  await failureOf(client.write({ channelId: 0n, content: 'a secret' }, bearer(edges.token)));
  const lines = edges.log.filter(({ msg }) => msg === 'rpc');
  assert.equal(lines.length, 2);
  assert.equal(lines[0]?.['method'], 'test.EchoService/Write');
  assert.equal(lines[0]?.['code'], 'OK');
  assert.equal(lines[0]?.['userId'], '7');
  assert.equal(lines[1]?.['code'], 'INVALID_ARGUMENT');
  assert.equal(lines[1]?.['reason'], 'FIELD_INVALID');
  assert.doesNotMatch(JSON.stringify(edges.log), new RegExp(`a secret|${edges.token.slice(-20)}`));
  const text = await edges.metrics.registry.metrics();
  assert.match(text, /rpc_duration_seconds_count\{service="test.EchoService",method="Write",code="OK"\} 1/);
  assert.match(text, /rpc_duration_seconds_count\{.*code="INVALID_ARGUMENT"\} 1/);
});

function meshClient(edges: TestEdges) {
  return clientOf(createGrpcTransport({ baseUrl: `http://${edges.grpc.address}` }));
}

async function untilOpen(edges: TestEdges, count: number): Promise<void> {
  for (let tries = 0; ; tries++) {
    const { values } = await edges.metrics.streamsOpen.get();
    if ((values[0]?.value ?? 0) === count) return;
    assert.ok(tries < 500, `there were never ${count} open streams`);
    await sleep(5);
  }
}
