import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import http2 from 'node:http2';
import { suite, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { Code } from '@connectrpc/connect';
import {
  bearer,
  clientOf,
  failureOf,
  jsonMessage,
  openEdges,
  protocols,
  type TestEdges,
} from '../../../test/kit/edge/edges.ts';
import { envelope } from '../../rpc/frame.ts';

const write = '/test.EchoService/Write';
const operate = '/test.EchoService/Operate';
const stream = '/test.EchoService/Stream';

// The first bytes of an envelope of 1 MiB, or of a message.
const beginning = Buffer.from([0, 0, 0x10, 0, 0]);

type Result = { status: number; requestId: unknown; body: string };

suite('a request whose body does not end is rejected for its headers', () => {
  for (const { name, path, contentType, pattern } of [
    { name: 'Connect', path: write, contentType: 'application/proto', pattern: /unauthenticated/ },
    { name: 'Connect JSON', path: write, contentType: 'application/json', pattern: /unauthenticated/ },
    {
      name: 'Connect stream',
      path: stream,
      contentType: 'application/connect+proto',
      pattern: /unauthenticated/,
    },
    { name: 'gRPC-Web', path: write, contentType: 'application/grpc-web+proto', pattern: /grpc-status: 16/ },
    {
      name: 'gRPC-Web stream',
      path: stream,
      contentType: 'application/grpc-web+proto',
      pattern: /grpc-status: 16/,
    },
    { name: 'gRPC', path: write, contentType: 'application/grpc', pattern: /grpc-status: 16/ },
    { name: 'gRPC stream', path: stream, contentType: 'application/grpc', pattern: /grpc-status: 16/ },
  ]) {
    for (const { version, post } of [
      { version: '1.1', post: postHttp1 },
      { version: '2', post: postHttp2 },
    ]) {
      if (version === '1.1' && contentType === 'application/grpc') continue;
      test(`${name} over HTTP/${version}`, async () => {
        await using edges = await openEdges();
        const { requestId, body } = await post(edges, path, { 'content-type': contentType });
        assert.match(body, pattern);
        assert.match(String(requestId), /^[\w-]{36}$/);
        const lines = edges.log.filter(({ msg }) => msg === 'rpc');
        assert.deepEqual(
          lines.map(({ code, reason }) => [code, reason]),
          [['UNAUTHENTICATED', 'TOKEN_INVALID']],
        );
      });
    }
  }

  test('a caller that the method does not permit', async () => {
    await using edges = await openEdges();
    const headers = { ...bearer(edges.token).headers, 'content-type': 'application/proto' };
    const { status, body } = await postHttp1(edges, operate, headers);
    assert.equal(status, 403);
    assert.match(body, /permission_denied/);
    const line = edges.log.find(({ msg }) => msg === 'rpc');
    assert.deepEqual([line?.['reason'], line?.['userId']], ['CALLER_NOT_ALLOWED', '7']);
  });
});

test('a compressed body is not decompressed for an unauthenticated caller', async () => {
  await using edges = await openEdges();
  const response = await fetch(`http://${edges.web.address}${write}`, {
    method: 'POST',
    headers: { 'content-type': 'application/proto', 'content-encoding': 'gzip' },
    body: gzipSync(Buffer.alloc(50_000_000)),
  });
  assert.equal(response.status, 401);
});

test('an admitted call is logged and counted once', async () => {
  await using edges = await openEdges();
  const response = await fetch(`http://${edges.web.address}${write}`, {
    method: 'POST',
    headers: { ...bearer(edges.token).headers, 'content-type': 'application/json' },
    body: jsonMessage,
  });
  assert.equal(response.status, 200);
  assert.equal(edges.log.filter(({ msg }) => msg === 'rpc').length, 1);
});

suite('a request above the limit of its method is rejected before it is decoded', () => {
  const request = {
    channelIds: [],
    cursors: Array.from({ length: 5_000 }, () => ({ channelId: 2n ** 60n, seq: 2n ** 60n })),
  };

  for (const protocol of protocols) {
    test(protocol.name, async () => {
      await using edges = await openEdges();
      const client = clientOf(protocol.open(edges));
      const unary = await failureOf(
        client.write({ channelId: 1n, content: 'x'.repeat(66_000) }, bearer(edges.token)),
      );
      assert.equal(unary.error.code, Code.ResourceExhausted);
      assert.match(unary.error.rawMessage, /65536/);
      assert.equal(unary.reason, 'REQUEST_TOO_LARGE');
      const responses = client.stream(request, bearer(edges.token))[Symbol.asyncIterator]();
      const streamed = await failureOf(Promise.resolve(responses.next()));
      assert.equal(streamed.reason, 'REQUEST_TOO_LARGE');
      assert.match(streamed.error.rawMessage, /65536/);
    });
  }

  for (const contentType of ['application/json', 'application/grpc-web+json'])
    test(`of unknown length over HTTP/1.1, ${contentType}`, async () => {
      await using edges = await openEdges();
      const chunk = Buffer.alloc(10_000, ' ');
      const request = http.request(`http://${edges.web.address}${write}`, {
        method: 'POST',
        headers: { ...bearer(edges.token).headers, 'content-type': contentType },
      });
      request.on('error', () => {});
      request.write(Buffer.concat([Buffer.from([0, 0, 1, 0, 0]), chunk]));
      for (let sent = 0; sent < 20; sent += 1) request.write(chunk);
      const [response] = await once(request, 'response', { signal: AbortSignal.timeout(5_000) });
      assert.match(await textOf(response), /65536/);
      request.destroy();
    });

  test('compressed', async () => {
    await using edges = await openEdges();
    const bomb = gzipSync(Buffer.alloc(30_000_000));
    const unary = await fetch(`http://${edges.web.address}${write}`, {
      method: 'POST',
      headers: {
        ...bearer(edges.token).headers,
        'content-type': 'application/proto',
        'content-encoding': 'gzip',
      },
      body: bomb,
    });
    assert.equal(unary.status, 429);
    assert.match(await unary.text(), /resource_exhausted.*REQUEST_TOO_LARGE/);
    const streamed = await fetch(`http://${edges.web.address}${stream}`, {
      method: 'POST',
      headers: {
        ...bearer(edges.token).headers,
        'content-type': 'application/connect+proto',
        'connect-content-encoding': 'gzip',
      },
      body: envelope(bomb, 1),
    });
    assert.match(await streamed.text(), /REQUEST_TOO_LARGE|resource_exhausted/);
  });
});

/** Sends the beginning of a body; resolves with the response when its connection has been closed. */
async function postHttp1(
  { web }: TestEdges,
  path: string,
  headers: http.OutgoingHttpHeaders,
): Promise<Result> {
  const request = http.request(`http://${web.address}${path}`, { method: 'POST', headers });
  request.on('error', () => {});
  request.write(beginning);
  const closed = once(request, 'close', { signal: AbortSignal.timeout(5_000) });
  const signal = AbortSignal.timeout(2_000);
  const response: http.IncomingMessage = (await once(request, 'response', { signal }))[0];
  const body = await textOf(response);
  await closed;
  return { status: response.statusCode ?? 0, requestId: response.headers['x-request-id'], body };
}

/** Sends the beginning of a body; resolves with the response when its stream has been closed. */
async function postHttp2(
  { web }: TestEdges,
  path: string,
  headers: http.OutgoingHttpHeaders,
): Promise<Result> {
  const session = http2.connect(`http://${web.address}`);
  const request = session.request({ ':method': 'POST', ':path': path, ...headers });
  request.on('error', () => {});
  request.write(beginning);
  const trailers: string[] = [];
  request.on('trailers', (fields) => trailers.push(`grpc-status: ${fields['grpc-status']}`));
  const closed = once(request, 'close', { signal: AbortSignal.timeout(5_000) });
  const [fields] = await once(request, 'response', { signal: AbortSignal.timeout(2_000) });
  const body = await textOf(request);
  await closed;
  session.destroy();
  return { status: fields[':status'], requestId: fields['x-request-id'], body: body + trailers.join() };
}

async function textOf(body: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}
