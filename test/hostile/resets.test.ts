import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import http2, { type ClientHttp2Session, type ClientHttp2Stream, constants } from 'node:http2';
import { suite, test } from 'node:test';
import { create, toBinary, toJsonString } from '@bufbuild/protobuf';
import { SendMessageRequestSchema } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { envelope } from '../../src/rpc/frame.ts';
import { bearer, numberedFrame, openEdges, type TestEdges } from '../kit/edge/edges.ts';
import { until } from '../kit/until.ts';

const write = '/test.EchoService/Write';
const stream = '/test.EchoService/Stream';
// Above Node's own limit of reset streams, which ends the connection.
const RESETS = 1_250;

const kinds = [
  { name: 'mesh edge', edge: 'grpc', contentType: 'application/grpc' },
  { name: 'web edge', edge: 'web', contentType: 'application/json' },
] as const;

type Kind = (typeof kinds)[number];

for (const kind of kinds)
  suite(`many reset calls on a connection that users share: ${kind.name}`, () => {
    for (const { name, path, isRead } of [
      { name: 'before the request is read', path: write, isRead: false },
      { name: 'of a running call', path: write, isRead: true },
      { name: 'of an open stream', path: stream, isRead: true },
    ])
      test(`end the calls of their user and nothing else: ${name}`, async () => {
        // A clock that stands still, because a slow machine takes so long that cancelled calls no longer count.
        const time = Date.now();
        const events = new Events();
        await using edges = await openShared(events, { LIMIT_CANCELLED_PER_MINUTE: '1100' }, () => time);
        const session = await connect(edges, kind);
        const otherToken = await edges.signer.sign({ userId: 8n, tenantId: 3n });
        const other = await openStream(session, kind, otherToken);
        for (let sent = 0; sent < RESETS; sent += 50)
          await reset(session, Array(50).fill(request(kind, path, edges.token)), isRead);
        await until(async () => (await post(session, kind, edges.token)).isRateLimited);
        assert.equal((await post(session, kind, otherToken)).isOk, true);
        const received = once(other, 'data', { signal: AbortSignal.timeout(60_000) });
        events.emit();
        await received;
        assert.deepEqual([other.closed, session.closed], [false, false]);
        session.destroy();
      });

    test('of a user that is above the limit do not end the connection', async () => {
      await using edges = await openShared(new Events(), { LIMIT_CANCELLED_PER_MINUTE: '10' });
      const session = await connect(edges, kind);
      const otherToken = await edges.signer.sign({ userId: 8n, tenantId: 3n });
      for (let sent = 0; sent < 1_500; sent += 100) {
        await reset(session, Array(100).fill(request(kind, write, edges.token)), false);
        // On a busy machine this client would send resets so late that their requests count as never ended.
        await ping(session);
      }
      assert.equal((await post(session, kind, otherToken)).isOk, true);
      assert.equal(session.closed, false);
      session.destroy();
    });

    test('end as many calls as the limit states, for a minute', async () => {
      let now = Date.now();
      await using edges = await openShared(new Events(), { LIMIT_CANCELLED_PER_MINUTE: '10' }, () => now);
      const session = await connect(edges, kind);
      await reset(session, Array(10).fill(request(kind, write, edges.token)), true);
      assert.equal((await post(session, kind, edges.token)).isOk, true);
      for (let sent = 0; sent < 200; sent += 50)
        await reset(session, Array(50).fill(request(kind, write, edges.token)), false);
      await until(async () => (await post(session, kind, edges.token)).isRateLimited);
      now += 61_000;
      assert.equal((await post(session, kind, edges.token)).isOk, true);
      session.destroy();
    });

    for (const { name, path, token } of [
      { name: 'of unauthenticated callers', path: write, token: 'invalid' },
      { name: 'of unknown methods', path: '/test.EchoService/Nothing', token: 'invalid' },
    ]) {
      // The web edge ends these itself, before their client can reset them.
      if (kind.edge === 'web' && path !== write) continue;
      test(`${name}: the connection accepts no more calls, and open ones continue`, async () => {
        await using edges = await openShared(new Events());
        const session = await connect(edges, kind);
        const open = await openStream(session, kind, edges.token);
        const closing = once(session, 'goaway', { signal: AbortSignal.timeout(60_000) });
        let sent = 0;
        while (!session.closed && !session.destroyed && sent < 5_000) {
          await reset(session, Array(50).fill(request(kind, path, token)), false);
          sent += 50;
        }
        const [code] = await closing;
        assert.equal(code, constants.NGHTTP2_NO_ERROR);
        assert.equal(open.rstCode, constants.NGHTTP2_NO_ERROR);
        assert.ok(sent >= 1_000);
        session.destroy();
      });
    }
  });

/** Events that every open stream sends. */
class Events {
  readonly listeners = new Set<() => void>();
  emit(): void {
    for (const listener of this.listeners) listener();
  }
}

/** Edges whose calls and streams wait until they are cancelled, unless the content is `quick`. */
function openShared(
  events: Events,
  env: Record<string, string> = {},
  now: () => number = Date.now,
): Promise<TestEdges> {
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
        const send = () => sink.write(numberedFrame(1n));
        send();
        events.listeners.add(send);
        await aborted(signal);
        events.listeners.delete(send);
      },
    },
    { ...unlimited, ...env },
    now,
  );
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}

async function connect(edges: TestEdges, { edge }: Kind): Promise<ClientHttp2Session> {
  const session = http2.connect(`http://${edges[edge].address}`);
  session.on('error', () => {});
  await once(session, 'connect');
  return session;
}

function request({ contentType }: Kind, path: string, token: string): http2.OutgoingHttpHeaders {
  const isConnectStream = path === stream && contentType === 'application/json';
  return {
    ':method': 'POST',
    ':path': path,
    'content-type': isConnectStream ? 'application/connect+proto' : contentType,
    te: 'trailers',
    ...bearer(token).headers,
  };
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
    if (isRead) call.end(headers[':path'] === stream ? Buffer.alloc(5) : bodyOf(headers, 'slow'));
    return { call, closed };
  });
  if (isRead) await ping(session);
  for (const { call } of calls) call.close(constants.NGHTTP2_CANCEL);
  await Promise.all(calls.map(({ closed }) => closed));
}

async function ping(session: ClientHttp2Session): Promise<void> {
  await new Promise((resolve) => session.ping(resolve) || resolve(undefined));
}

async function openStream(
  session: ClientHttp2Session,
  kind: Kind,
  token: string,
): Promise<ClientHttp2Stream> {
  const call = session.request(request(kind, stream, token));
  call.on('error', () => {});
  call.end(Buffer.alloc(5));
  await once(call, 'data');
  return call;
}

async function post(
  session: ClientHttp2Session,
  kind: Kind,
  token: string,
): Promise<{ isOk: boolean; isRateLimited: boolean }> {
  const headers = request(kind, write, token);
  const call = session.request(headers);
  const fields: Record<string, unknown> = {};
  call.on('response', (received) => Object.assign(fields, received));
  call.on('trailers', (received) => Object.assign(fields, received));
  call.end(bodyOf(headers, 'quick'));
  const chunks: Buffer[] = [];
  for await (const chunk of call) chunks.push(chunk);
  const status = fields['grpc-status'] ?? fields[':status'];
  const details = Buffer.from(String(fields['grpc-status-details-bin'] ?? ''), 'base64');
  return {
    isOk: status === '0' || status === 200,
    isRateLimited: Buffer.concat([...chunks, details]).includes('RATE_LIMITED'),
  };
}

function bodyOf({ 'content-type': contentType }: http2.OutgoingHttpHeaders, content: string): Buffer {
  const message = create(SendMessageRequestSchema, { channelId: 1n, content, requestId: randomUUID() });
  return contentType === 'application/grpc'
    ? Buffer.from(envelope(Buffer.from(toBinary(SendMessageRequestSchema, message))))
    : Buffer.from(toJsonString(SendMessageRequestSchema, message));
}
