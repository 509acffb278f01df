import assert from 'node:assert/strict';
import { once } from 'node:events';
import http2, { type ClientHttp2Session, type ClientHttp2Stream } from 'node:http2';
import { suite, test } from 'node:test';
import { bearer, clientOf, failureOf, openEdges, protocols, type TestEdges } from '../kit/edge/edges.ts';
import { until } from '../kit/until.ts';

const WAITING = 3;
const FLOOD = 400;
// Above the number that ends a connection (20), and below that of calls at a time (32) after which others start with pauses:
// they would not be answered within RESET_MS, however often that is tried.
const REJECTED = 26;
// Less than clients have for a reset.
const RESET_MS = 200;
// Waiting for a condition takes many reads on a slow machine.
const UNLIMITED = { LIMIT_READ_PER_MINUTE: '0', LIMIT_TENANT_PER_MINUTE: '0' };
const kinds = [
  { name: 'mesh edge', edge: 'grpc', contentType: 'application/grpc' },
  { name: 'web edge', edge: 'web', contentType: 'application/connect+proto' },
] as const;

type Kind = (typeof kinds)[number];

for (const kind of kinds)
  suite(`calls whose requests do not arrive: ${kind.name}`, () => {
    test('are limited for each user, over both edges and all connections', async () => {
      await using edges = await openEdges({}, { ...UNLIMITED, LIMIT_UNREAD_REQUESTS_PER_USER: `${WAITING}` });
      const client = clientOf(protocols[0].open(edges));
      const read = (token: string) => client.read({ channelId: 1n, messageId: 1n }, bearer(token));
      const isRejected = async () =>
        (await failureOf(read(edges.token)).catch(() => undefined)) !== undefined;
      const session = connect(edges, kind);
      const calls: ClientHttp2Stream[] = [];
      // A read that is admitted before all of these takes the place of one, which is rejected instead.
      const areOpen = () => {
        for (let index = 0; index < WAITING; index += 1)
          if (calls[index]?.closed !== false) calls[index] = halfOpen(session, kind, edges.token);
        return isRejected();
      };
      await until(areOpen, 'a rejected call');
      assert.equal((await failureOf(read(edges.token))).reason, 'OVERLOADED');
      await read(await edges.signer.sign({ userId: 8n, tenantId: 3n }));
      calls[0]?.close(http2.constants.NGHTTP2_CANCEL);
      await until(async () => !(await isRejected()), 'an accepted call');
      // Their ends free only their own places.
      for (let count = 0; count < 2 * WAITING; count += 1) await read(edges.token);
      await until(areOpen, 'a rejected call');
      session.destroy();
      await until(async () => !(await isRejected()), 'an accepted call');
      for (let count = 0; count < 2 * WAITING; count += 1) await read(edges.token);
    });

    test('do not count as cancelled calls, nor against the connection, when their clients reset them after a rejection', async () => {
      await using edges = await openEdges(
        {},
        { ...UNLIMITED, LIMIT_UNREAD_REQUESTS_PER_USER: '1', LIMIT_CANCELLED_PER_MINUTE: '5' },
      );
      const session = connect(edges, kind);
      halfOpen(session, kind, edges.token);
      for (let count = 0; count < REJECTED; count += 1) {
        const call = halfOpen(session, kind, edges.token);
        await once(call, 'response', { signal: AbortSignal.timeout(60_000) });
        call.close(http2.constants.NGHTTP2_CANCEL);
      }
      const client = clientOf(protocols[0].open(edges));
      const read = client.read({ channelId: 1n, messageId: 1n }, bearer(edges.token));
      assert.equal((await failureOf(read)).reason, 'OVERLOADED');
      assert.equal(session.closed, false);
      session.destroy();
    });
  });

test('requests that their clients reset in time do not count against the connection when the process stalls', async () => {
  await using edges = await openEdges({}, UNLIMITED);
  const [mesh] = kinds;
  const sessions: ClientHttp2Session[] = [];
  // On a busy machine, the time of the first call may be over before the last one has its response.
  const areResetInTime = async () => {
    const session = connect(edges, mesh);
    sessions.push(session);
    const started = performance.now();
    const calls = Array.from({ length: REJECTED }, () => halfOpen(session, mesh, 'invalid'));
    await Promise.allSettled(
      calls.map((call) => once(call, 'response', { signal: AbortSignal.timeout(60_000) })),
    );
    for (const call of calls) call.close(http2.constants.NGHTTP2_CANCEL);
    if (performance.now() - started > RESET_MS) return false;
    // After the resets are sent, and before they are read: longer than the time for a reset.
    await new Promise((resolve) => setImmediate(resolve));
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_000);
    return true;
  };
  await until(areResetInTime, 'calls that are reset in time', 60_000);
  const session = sessions.at(-1) ?? assert.fail();
  const other = halfOpen(session, mesh, edges.token);
  other.end(Buffer.alloc(5));
  await once(other, 'response', { signal: AbortSignal.timeout(60_000) });
  assert.equal(session.closed, false);
  for (const each of sessions) each.destroy();
});

test('a connection with many of them accepts no more calls, and open ones continue', async () => {
  await using edges = await openEdges({}, { LIMIT_UNREAD_REQUESTS_PER_USER: '1' });
  const [mesh] = kinds;
  const session = connect(edges, mesh);
  const other = halfOpen(session, mesh, await edges.signer.sign({ userId: 8n, tenantId: 3n }));
  const closing = once(session, 'goaway', { signal: AbortSignal.timeout(60_000) });
  for (let count = 0; count < FLOOD && !session.closed; count += 1) halfOpen(session, mesh, edges.token);
  const [code] = await closing;
  assert.equal(code, http2.constants.NGHTTP2_NO_ERROR);
  const ended = once(other, 'response', { signal: AbortSignal.timeout(60_000) });
  other.end(Buffer.alloc(5));
  await ended;
  const client = clientOf(protocols[0].open(edges));
  await client.write(
    { channelId: 1n, content: 'x' },
    bearer(await edges.signer.sign({ userId: 9n, tenantId: 3n })),
  );
  session.destroy();
});

function connect(edges: TestEdges, { edge }: Kind): ClientHttp2Session {
  return http2.connect(`http://${edges[edge].address}`).on('error', () => {});
}

/** A call whose headers are sent, and nothing else. */
function halfOpen(session: ClientHttp2Session, { contentType }: Kind, token: string): ClientHttp2Stream {
  const call = session.request({
    ':method': 'POST',
    ':path': '/test.EchoService/Stream',
    'content-type': contentType,
    te: 'trailers',
    ...bearer(token).headers,
  });
  call.on('error', () => {});
  call.resume();
  return call;
}
