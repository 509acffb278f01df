import assert from 'node:assert/strict';
import http2, { constants } from 'node:http2';
import { suite, test } from 'node:test';
import { bearer, numberedFrame, openEdges, type TestEdges } from '../kit/edge/edges.ts';
import { openSocket } from '../kit/edge/raw-http2.ts';
import { until } from '../kit/until.ts';

const read = '/test.EchoService/Read?message={"channelId":"1","messageId":"1"}&encoding=json&connect=v1';
const stream = '/test.EchoService/Stream';

suite('a response that its client does not read in time is cut off', () => {
  for (const { name, path, body, contentType } of [
    { name: 'unary', path: read, body: '', contentType: 'application/json' },
    {
      name: 'the end of a stream',
      path: stream,
      body: '\0\0\0\0\0',
      contentType: 'application/connect+proto',
    },
  ])
    test(`${name}, with an HTTP/2 window of zero`, async () => {
      await using edges = await openLarge();
      const session = http2.connect(`http://${edges.web.address}`, { settings: { initialWindowSize: 0 } });
      const request = session.request({
        ':method': body === '' ? 'GET' : 'POST',
        ':path': path,
        'content-type': contentType,
        ...bearer(edges.token).headers,
      });
      request.on('error', () => {});
      request.resume();
      request.end(body);
      await until(() => request.destroyed);
      assert.equal(request.rstCode, constants.NGHTTP2_CANCEL);
      assert.equal(session.closed, false);
      session.destroy();
    });

  test('over HTTP/1.1', async () => {
    await using edges = await openLarge();
    const socket = await openSocket(edges.web.address);
    socket.pause();
    const { authorization } = bearer(edges.token).headers;
    socket.write(`GET ${read} HTTP/1.1\r\nhost: x\r\nauthorization: ${authorization}\r\n\r\n`);
    await until(() => edges.log.some(({ code }) => code === 'OK'));
    // The client reads nothing, so it notices the end of the connection when it writes.
    await until(() => socket.destroyed || (socket.write('\r\n') && false));
  });
});

function openLarge(): Promise<TestEdges> {
  return openEdges(
    {
      read: async () => ({ message: { content: 'x'.repeat(50_000_000) } }),
      stream: async (_request, _call, sink) => sink.write(numberedFrame(1n, 100_000)),
    },
    { PENDING_RESPONSE_TIMEOUT_MS: '300' },
  );
}
