import assert from 'node:assert/strict';
import { once } from 'node:events';
import http2, { constants } from 'node:http2';
import type { Socket } from 'node:net';
import { suite, test } from 'node:test';
import { openEdges } from '../kit/edge/edges.ts';
import { openSocket, PREFACE } from '../kit/edge/raw-http2.ts';
import { until } from '../kit/until.ts';

const REQUEST = 'GET / HTTP/1.1\r\nhost: x\r\n\r\n';

suite('connections above the limit are rejected in the protocol of their client', () => {
  for (const { name, env, from } of [
    { name: 'in total', env: { WEB_CONNECTIONS: '2' }, from: '127.0.0.2' },
    { name: 'by address', env: { WEB_CONNECTIONS_PER_ADDRESS: '2' }, from: '127.0.0.1' },
  ])
    test(name, async () => {
      await using edges = await openEdges({}, env);
      const { address } = edges.web;
      const open = [await openSocket(address), await openSocket(address)];
      for (const socket of open) assert.match(await responseTo(socket, REQUEST), /^HTTP\/1.1 404 /);

      const http1 = await openSocket(address, from);
      const rejection = await responseTo(http1, REQUEST);
      assert.match(rejection, /^HTTP\/1.1 503 /);
      assert.match(rejection, /\r\n\r\ntoo many connections$/);
      await until(() => http1.closed);

      const http2Socket = await openSocket(address, from);
      const session = http2.connect(`http://${address}`, { createConnection: () => http2Socket });
      session.on('error', () => {});
      const [code, lastStreamId, text] = await once(session, 'goaway');
      assert.deepEqual(
        [code, lastStreamId, String(text)],
        [constants.NGHTTP2_ENHANCE_YOUR_CALM, 0, 'too many connections'],
      );
      session.destroy();

      const silent = await openSocket(address, from);
      silent.resume();
      await until(() => silent.closed);

      open.pop()?.destroy();
      await until(async () => {
        const socket = await openSocket(address, from);
        const response = await responseTo(socket, REQUEST);
        socket.destroy();
        return response.startsWith('HTTP/1.1 404 ');
      });
      for (const socket of open) socket.destroy();
    });

  test('another address has its own limit', async () => {
    await using edges = await openEdges({}, { WEB_CONNECTIONS_PER_ADDRESS: '1' });
    const sockets = await Promise.all(
      ['127.0.0.1', '127.0.0.2'].map((from) => openSocket(edges.web.address, from)),
    );
    for (const socket of sockets) assert.match(await responseTo(socket, REQUEST), /^HTTP\/1.1 404 /);
    for (const socket of sockets) socket.destroy();
  });
});

test('a client that does not close its side of a closed connection is disconnected', async () => {
  await using edges = await openEdges(
    {},
    { WEB_CONNECTION_AGE_MS: '200', WEB_CONNECTION_AGE_GRACE_MS: '200' },
  );
  const socket = await openSocket(edges.web.address);
  socket.allowHalfOpen = true;
  socket.write(PREFACE);
  socket.resume();
  await once(socket, 'end');
  // The client has not closed its side: writing fails as soon as the server has destroyed the connection.
  await until(() => socket.destroyed || !socket.write(PREFACE));
  socket.destroy();
});

async function responseTo(socket: Socket, request: string): Promise<string> {
  socket.write(request);
  const [bytes] = await once(socket, 'data', { signal: AbortSignal.timeout(10_000) });
  return String(bytes);
}
