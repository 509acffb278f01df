import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import http2, { type ClientHttp2Session, type ClientHttp2Stream, constants } from 'node:http2';
import { suite, test } from 'node:test';
import { bearer, numberedFrame, openEdges, type TestEdges } from '../kit/edge/edges.ts';
import { until } from '../kit/until.ts';

const write = '/test.EchoService/Write';
const stream = '/test.EchoService/Stream';

suite('many reset calls on a connection that users share', () => {
  for (const { name, path, isRead } of [
    { name: 'before the request is read', path: write, isRead: false },
    { name: 'of a running call', path: write, isRead: true },
    { name: 'of an open stream', path: stream, isRead: true },
  ])
    test(`end the calls of their user and nothing else: ${name}`, async () => {
      // Above Node's own limit of reset streams, which ends the connection.
      // A clock that stands still, because a slow machine takes so long that cancelled calls no longer count.
      const time = Date.now();
      await using edges = await openShared({ LIMIT_CANCELLED_PER_MINUTE: '1300' }, () => time);
      const session = await connect(edges);
      const other = await openStream(session, await edges.signer.sign({ userId: 8n, tenantId: 3n }));
      for (let sent = 0; sent < 1_500; sent += 50)
        await reset(session, Array(50).fill(request(path, edges.token)), isRead);
      const rejected = await post(session, edges.token);
      assert.deepEqual([rejected.status, rejected.reason], [429, 'RATE_LIMITED']);
      assert.equal((await post(session, await edges.signer.sign({ userId: 8n, tenantId: 3n }))).status, 200);
      assert.equal(other.closed, false);
      assert.equal(session.closed, false);
      session.destroy();
    });

  test('end as many calls as the limit states, for a minute', async () => {
    let now = Date.now();
    await using edges = await openShared({ LIMIT_CANCELLED_PER_MINUTE: '10' }, () => now);
    const session = await connect(edges);
    await reset(session, Array(10).fill(request(write, edges.token)), true);
    assert.equal((await post(session, edges.token)).status, 200);
    for (let sent = 0; sent < 200; sent += 50)
      await reset(session, Array(50).fill(request(write, edges.token)), false);
    await until(async () => (await post(session, edges.token)).status === 429);
    now += 61_000;
    assert.equal((await post(session, edges.token)).status, 200);
    session.destroy();
  });

  test('of unauthenticated callers: the connection accepts no more calls, and open ones continue', async () => {
    await using edges = await openShared();
    const session = await connect(edges);
    const open = await openStream(session, edges.token);
    const closing = once(session, 'goaway', { signal: AbortSignal.timeout(10_000) });
    let sent = 0;
    while (!session.closed && !session.destroyed && sent < 3_000) {
      await reset(session, Array(50).fill(request(write, 'invalid')), false);
      sent += 50;
    }
    const [code] = await closing;
    assert.equal(code, constants.NGHTTP2_NO_ERROR);
    assert.equal(open.rstCode, constants.NGHTTP2_NO_ERROR);
    assert.ok(sent >= 1_000);
    session.destroy();
  });
});

/** Edges whose calls and streams wait until they are cancelled, unless the content is `quick`. */
function openShared(env: Record<string, string> = {}, now: () => number = Date.now): Promise<TestEdges> {
  const unlimited = {
    LIMIT_SEND_PER_MINUTE: '0',
    LIMIT_TENANT_PER_MINUTE: '0',
    LIMIT_STREAM_OPENS_PER_MINUTE: '0',
    LIMIT_STREAMS_PER_USER: '0',
  };
  return openEdges(
    {
      async write({ content }, { signal }) {
        if (content !== 'quick') await aborted(signal);
        return {};
      },
      async stream(_request, { signal }, sink) {
        sink.write(numberedFrame(1n));
        await aborted(signal);
      },
    },
    { ...unlimited, ...env },
    now,
  );
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}

async function connect({ web }: TestEdges): Promise<ClientHttp2Session> {
  const session = http2.connect(`http://${web.address}`);
  session.on('error', () => {});
  await once(session, 'connect');
  return session;
}

function request(path: string, token: string): http2.OutgoingHttpHeaders {
  const contentType = path === stream ? 'application/connect+proto' : 'application/json';
  return { ':method': 'POST', ':path': path, 'content-type': contentType, ...bearer(token).headers };
}

/** Sends requests and resets them at once, or after their bodies were sent and acknowledged by a ping. */
async function reset(
  session: ClientHttp2Session,
  requests: http2.OutgoingHttpHeaders[],
  isRead: boolean,
): Promise<void> {
  const calls = requests.map((headers) => {
    const call = session.request(headers);
    call.on('error', () => {});
    const closed = new Promise((resolve) => call.once('close', resolve));
    if (isRead) call.end(headers[':path'] === stream ? Buffer.alloc(5) : bodyOf('slow'));
    return { call, closed };
  });
  if (isRead) await ping(session);
  for (const { call } of calls) call.close(constants.NGHTTP2_CANCEL);
  await Promise.all(calls.map(({ closed }) => closed));
}

async function ping(session: ClientHttp2Session): Promise<void> {
  await new Promise((resolve) => session.ping(resolve) || resolve(undefined));
}

async function openStream(session: ClientHttp2Session, token: string): Promise<ClientHttp2Stream> {
  const call = session.request(request(stream, token));
  call.on('error', () => {});
  call.end(Buffer.alloc(5));
  await once(call, 'data');
  return call;
}

async function post(
  session: ClientHttp2Session,
  token: string,
): Promise<{ status: number; reason: unknown }> {
  const call = session.request(request(write, token));
  call.end(bodyOf('quick'));
  const [headers] = await once(call, 'response');
  const chunks: Buffer[] = [];
  for await (const chunk of call) chunks.push(chunk);
  const body = JSON.parse(Buffer.concat(chunks).toString());
  return { status: headers[':status'], reason: body.details?.[0]?.debug?.reason };
}

function bodyOf(content: string): string {
  return JSON.stringify({ channelId: '1', content, requestId: randomUUID() });
}
