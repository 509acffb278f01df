import assert from 'node:assert/strict';
import { once } from 'node:events';
import http2 from 'node:http2';
import { suite, test } from 'node:test';
import { bearer, openEdges } from '../../test/kit/edge/edges.ts';
import { until } from '../../test/kit/until.ts';

suite('a connection has 100 concurrent streams until a call on it is admitted, and then the configured number', () => {
  for (const { name, edge, contentType } of [
    { name: 'mesh edge', edge: 'grpc', contentType: 'application/grpc' },
    { name: 'web edge', edge: 'web', contentType: 'application/connect+proto' },
  ] as const)
    test(name, async () => {
      await using edges = await openEdges(
        {},
        { GRPC_MAX_CONCURRENT_STREAMS: '300', WEB_MAX_CONCURRENT_STREAMS: '300' },
      );
      const session = http2.connect(`http://${edges[edge].address}`);
      try {
        const maximum = () => session.remoteSettings?.maxConcurrentStreams;
        await until(() => maximum() === 100, 'the first settings');
        await post(session, contentType, {});
        await post(session, contentType, {});
        assert.equal(maximum(), 100, 'after calls without a token');
        await post(session, contentType, bearer(edges.token).headers);
        await until(() => maximum() === 300, 'the settings of a known client');
      } finally {
        session.destroy();
      }
    });
});

async function post(
  session: http2.ClientHttp2Session,
  contentType: string,
  headers: Record<string, string>,
): Promise<void> {
  const request = session.request({
    ':method': 'POST',
    ':path': '/test.EchoService/Stream',
    'content-type': contentType,
    te: 'trailers',
    ...headers,
  });
  request.end(Buffer.alloc(5));
  request.resume();
  await once(request, 'close');
}
