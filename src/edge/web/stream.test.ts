import assert from 'node:assert/strict';
import { once } from 'node:events';
import http2 from 'node:http2';
import { suite, test } from 'node:test';
import { bearer, openEdges, type TestEdges } from '../../../test/kit/edge/edges.ts';

const stream = '/test.EchoService/Stream';
const emptyMessage = Buffer.alloc(5);

suite('proxies are asked neither to buffer nor to store a stream', () => {
  for (const contentType of [
    'application/connect+proto',
    'application/connect+json',
    'application/grpc-web+proto',
  ])
    for (const isAuthorized of [true, false])
      test(`${contentType}, ${isAuthorized ? 'served' : 'rejected'}, over HTTP/1.1`, async () => {
        await using edges = await openEdges();
        const response = await fetch(`http://${edges.web.address}${stream}`, {
          method: 'POST',
          headers: { ...(isAuthorized && bearer(edges.token).headers), 'content-type': contentType },
          body: contentType.endsWith('json') ? Buffer.from('\0\0\0\0\x02{}') : emptyMessage,
        });
        assert.equal(response.headers.get('x-accel-buffering'), 'no');
        assert.equal(response.headers.get('cache-control'), 'no-store');
        await response.arrayBuffer();
      });

  for (const contentType of ['application/connect+proto', 'application/grpc-web+proto', 'application/grpc'])
    test(`${contentType} over HTTP/2`, async () => {
      await using edges = await openEdges();
      const headers = await headersOverHttp2(edges, contentType);
      assert.equal(headers['x-accel-buffering'], 'no');
      assert.equal(headers['cache-control'], 'no-store');
    });
});

async function headersOverHttp2({ web, token }: TestEdges, contentType: string) {
  const session = http2.connect(`http://${web.address}`);
  const request = session.request({
    ':method': 'POST',
    ':path': stream,
    'content-type': contentType,
    te: 'trailers',
    ...bearer(token).headers,
  });
  request.end(emptyMessage);
  const [headers]: http2.IncomingHttpHeaders[] = await once(request, 'response');
  request.resume();
  await once(request, 'close');
  session.destroy();
  return headers ?? {};
}
