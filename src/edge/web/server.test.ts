import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Code } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-node';
import {
  bearer,
  clientOf,
  failureOf,
  jsonMessage,
  numberedFrame,
  numberOf,
  openEdges,
  protocols,
  type TestEdges,
} from '../../../test/kit/edge/edges.ts';
import { until } from '../../../test/kit/until.ts';

const page = 'https://app.example';
const write = '/test.EchoService/Write';

test('a page of a listed origin may call and read the response', async () => {
  await using edges = await openEdges({}, { WEB_ORIGINS: `https://other.example, ${page}` });
  const preflight = await fetchFrom(edges, 'OPTIONS', {
    origin: page,
    'access-control-request-method': 'POST',
    'access-control-request-headers': 'authorization,connect-protocol-version,content-type',
  });
  assert.equal(preflight.status, 204);
  assert.equal(preflight.headers.get('access-control-allow-origin'), page);
  assert.match(preflight.headers.get('access-control-allow-methods') ?? '', /POST/);
  for (const header of [
    'authorization',
    'connect-protocol-version',
    'content-type',
    'x-grpc-web',
    'x-request-id',
  ]) {
    assert.ok(preflight.headers.get('access-control-allow-headers')?.toLowerCase().includes(header), header);
  }
  const response = await fetchFrom(edges, 'POST', { origin: page }, jsonMessage);
  assert.equal(response.status, 200);
  assert.equal(response.headers.get('access-control-allow-origin'), page);
  assert.match(response.headers.get('access-control-expose-headers') ?? '', /grpc-status/i);
  assert.match(response.headers.get('vary') ?? '', /origin/i);
  assert.match(await response.text(), /"content":"hello"/);
});

test('a page of an unlisted origin gets no CORS headers', async () => {
  await using edges = await openEdges({}, { WEB_ORIGINS: page });
  for (const origin of ['https://evil.example', `${page}.evil.example`, 'null']) {
    const preflight = await fetchFrom(edges, 'OPTIONS', { origin });
    assert.equal(preflight.status, 403);
    assert.equal(preflight.headers.get('access-control-allow-origin'), null);
    const response = await fetchFrom(edges, 'POST', { origin }, jsonMessage);
    assert.equal(response.headers.get('access-control-allow-origin'), null);
  }
});

test('an RPC without side effects may be called with GET', async () => {
  await using edges = await openEdges();
  const transport = createConnectTransport({
    baseUrl: `http://${edges.web.address}`,
    httpVersion: '1.1',
    useHttpGet: true,
  });
  const { message } = await clientOf(transport).read({ channelId: 1n, messageId: 1n }, bearer(edges.token));
  assert.equal(message?.senderId, 7n);
});

test('a path that is no RPC returns 404', async () => {
  await using edges = await openEdges();
  for (const path of ['/', '/test.EchoService/Nothing', '//', '/%']) {
    const response = await fetch(`http://${edges.web.address}${path}`);
    assert.equal(response.status, 404, path);
  }
});

test('streams are not compressed, also when the client accepts gzip', async () => {
  await using edges = await openEdges({
    stream: async (_request, _call, sink) => sink.write(numberedFrame(1n, 50_000)),
  });
  const response = await fetch(`http://${edges.web.address}/test.EchoService/Stream`, {
    method: 'POST',
    headers: {
      ...bearer(edges.token).headers,
      'content-type': 'application/connect+proto',
      'connect-accept-encoding': 'gzip',
    },
    body: Buffer.alloc(5),
  });
  assert.equal(response.headers.get('connect-content-encoding'), null);
  const body = Buffer.from(await response.arrayBuffer());
  assert.equal(body[0], 0);
});

test('a drain ends streams, lets a call finish, and closes idle connections', async () => {
  // A drain that waits for idle connections takes at least 1 s; on a slow machine others can, too.
  for (let attempt = 0; attempt < 5; attempt += 1) if ((await drainWhileBusy()) < 900) return;
  assert.fail('the drain waited for idle connections');
});

/** Drains an edge with streams, running calls and an idle connection; returns the time after the last call. */
async function drainWhileBusy(): Promise<number> {
  const finish = Promise.withResolvers<void>();
  await using edges = await openEdges({
    async write() {
      await finish.promise;
      return { message: { content: 'done' } };
    },
    async stream(_request, { signal }, sink) {
      sink.write(numberedFrame(1n));
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
    },
  });
  const clients = protocols
    .filter(({ name }) => !name.includes('mesh'))
    .map(({ open }) => clientOf(open(edges)));
  const running = clients.map((client) => client.write({ channelId: 1n, content: 'x' }, bearer(edges.token)));
  const streams = clients.map((client) => client.stream({}, bearer(edges.token))[Symbol.asyncIterator]());
  for (const stream of streams) assert.equal(numberOf((await stream.next()).value), 1n);
  const idle = await openSocket(edges);
  const drained = edges.web.drain();
  for (const stream of streams) {
    const { error, reason } = await failureOf(Promise.resolve(stream.next()));
    assert.equal(error.code, Code.Unavailable);
    assert.equal(reason, 'SERVER_DRAINING');
  }
  for (const client of clients) {
    const rejected = await failureOf(client.read({ channelId: 1n, messageId: 1n }, bearer(edges.token)));
    assert.equal(rejected.reason, 'SERVER_DRAINING');
  }
  finish.resolve();
  for (const call of running) assert.equal((await call).message?.content, 'done');
  const began = performance.now();
  await drained;
  const ms = performance.now() - began;
  await closed(idle);
  return ms;
}

test('a connection of the maximum age ends its streams, finishes its calls, and is replaced', async () => {
  const finish = Promise.withResolvers<void>();
  await using edges = await openEdges(
    {
      async write() {
        await finish.promise;
        return { message: { content: 'done' } };
      },
      async stream(_request, { signal }, sink) {
        sink.write(numberedFrame(1n));
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
      },
    },
    { WEB_CONNECTION_AGE_MS: '600', WEB_CONNECTION_AGE_GRACE_MS: '3000' },
  );
  const web = protocols.filter(({ name }) => !name.includes('mesh'));
  await Promise.all(
    web.map(async ({ name, open }) => {
      const client = clientOf(open(edges));
      const stream = client.stream({}, bearer(edges.token))[Symbol.asyncIterator]();
      assert.equal(numberOf((await stream.next()).value), 1n, name);
      const running = client.write({ channelId: 1n, content: 'x' }, bearer(edges.token));
      const { error, reason } = await failureOf(Promise.resolve(stream.next()));
      assert.equal(error.code, Code.Unavailable, name);
      assert.equal(reason, 'SERVER_DRAINING', name);
      const resumed = client.stream({}, bearer(edges.token))[Symbol.asyncIterator]();
      assert.equal(numberOf((await resumed.next()).value), 1n, name);
      finish.resolve();
      assert.equal((await running).message?.content, 'done', name);
    }),
  );
});

test('a connection is destroyed after its maximum age and the grace time', async () => {
  await using edges = await openEdges(
    {},
    { WEB_CONNECTION_AGE_MS: '200', WEB_CONNECTION_AGE_GRACE_MS: '200' },
  );
  for (const bytes of ['POST / HTTP/1.1\r\nHost:', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0']) {
    const socket = await openSocket(edges);
    socket.write(bytes);
    await closed(socket);
  }
});

test('a response on a connection of the maximum age asks the client to close it', async () => {
  await using edges = await openEdges({}, { WEB_CONNECTION_AGE_MS: '600' });
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  const connectionHeader = async () => {
    const request = http.get(`http://${edges.web.address}/`, { agent });
    const [response] = await once(request, 'response');
    response.resume();
    await once(response, 'end');
    return response.headers.connection;
  };
  for (const expected of ['keep-alive', 'close', 'keep-alive'])
    await until(async () => (await connectionHeader()) === expected, expected);
  agent.destroy();
});

test('a client that does not complete its headers or its body in time is disconnected', async () => {
  await using edges = await openEdges({}, { WEB_HEADER_TIMEOUT_MS: '200', MAX_DEADLINE_MS: '300' });
  const silent = await openSocket(edges);
  const preface = await openSocket(edges);
  preface.write('PRI * HT');
  const headers = await openSocket(edges);
  headers.write('POST / HTTP/1.1\r\nHost:');
  const body = http.request(`http://${edges.web.address}${write}`, {
    method: 'POST',
    headers: { ...bearer(edges.token).headers, 'content-type': 'application/proto', 'content-length': '100' },
  });
  // Not `error`: after a stall, Node's own time-out of the same length comes first, and its response is 408.
  const cut = new Promise((resolve) => body.on('close', resolve));
  body.on('error', () => {});
  body.write('x');
  await Promise.all([closed(silent), closed(preface), closed(headers), cut]);
});

test('garbage instead of HTTP closes its connection only', async () => {
  await using edges = await openEdges();
  for (const bytes of [
    '\0\0\0\0',
    'GET\r\n\r\n',
    'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\ngarbage instead of a frame',
  ]) {
    const socket = await openSocket(edges);
    socket.write(bytes);
    socket.resume();
    await closed(socket);
  }
  assert.equal((await fetchFrom(edges, 'POST', {}, jsonMessage)).status, 200);
});

function fetchFrom(
  { web, token }: TestEdges,
  method: 'OPTIONS' | 'POST',
  headers: Record<string, string>,
  body: string | null = null,
): Promise<Response> {
  const call = method === 'POST' ? { ...bearer(token).headers, 'content-type': 'application/json' } : {};
  return fetch(`http://${web.address}${write}`, { method, headers: { ...headers, ...call }, body });
}

async function openSocket(edges: TestEdges): Promise<Socket> {
  const [host = '', port] = edges.web.address.split(':');
  const socket = connect(Number(port), host);
  socket.on('error', () => {});
  await once(socket, 'connect');
  return socket;
}

async function closed(socket: Socket): Promise<void> {
  socket.resume();
  if (!socket.closed)
    await Promise.race([
      once(socket, 'close'),
      sleep(15_000, undefined, { ref: false }).then(() => assert.fail('still open')),
    ]);
}
