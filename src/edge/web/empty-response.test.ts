import assert from 'node:assert/strict';
import { once } from 'node:events';
import http2 from 'node:http2';
import { suite, test } from 'node:test';
import { openEdges } from '../../../test/kit/edge/edges.ts';

const write = '/test.EchoService/Write';
const stream = '/test.EchoService/Stream';

suite('a response without a body ends the HTTP/2 stream of a request that is not read', () => {
  for (const { status, method = 'POST', path, headers } of [
    { status: 404, path: '/test.EchoService/Nothing', headers: { 'content-type': 'application/proto' } },
    { status: 415, path: write, headers: { 'content-type': 'text/plain' } },
    { status: 415, path: stream, headers: { 'content-type': 'text/plain' } },
    { status: 405, method: 'PUT', path: write, headers: { 'content-type': 'application/proto' } },
    { status: 405, method: 'PUT', path: stream, headers: { 'content-type': 'application/connect+proto' } },
    { status: 403, method: 'OPTIONS', path: write, headers: { origin: 'https://evil.example' } },
  ])
    test(`${status} to ${method} ${path}`, async () => {
      await using edges = await openEdges();
      const session = http2.connect(`http://${edges.web.address}`);
      const request = session.request({ ':method': method, ':path': path, ...headers }, { endStream: false });
      const closed = once(request, 'close', { signal: AbortSignal.timeout(15_000) });
      // More than the window of a stream.
      request.write(Buffer.alloc(100_000));
      request.resume();
      const [received] = await once(request, 'response', { signal: AbortSignal.timeout(15_000) });
      assert.equal(received[':status'], status);
      await closed;
      assert.equal(request.rstCode, http2.constants.NGHTTP2_NO_ERROR);
      session.destroy();
    });
});
