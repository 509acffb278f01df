import assert from 'node:assert/strict';
import http2 from 'node:http2';
import { suite, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { status } from '@grpc/grpc-js';
import { bearer, clientOf, openEdges, protocols, type TestEdges } from '../../../test/kit/edge/edges.ts';
import { until } from '../../../test/kit/until.ts';
import { envelope } from '../../rpc/frame.ts';

const write = '/test.EchoService/Write';
const operate = '/test.EchoService/Operate';
const stream = '/test.EchoService/Stream';
const check = '/grpc.health.v1.Health/Check';
const watch = '/grpc.health.v1.Health/Watch';
const reflection = '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo';
// The first bytes of messages of 30 KB and 1 MiB.
const beginning = Buffer.from([0, 0, 0, 0x75, 0x30]);
const beginningOfLarge = Buffer.from([0, 0, 0x10, 0, 0]);

type Headers = Readonly<Record<string, string>>;

suite('a call whose body does not end is rejected for its headers, and its stream is closed', () => {
  for (const path of [write, stream, reflection])
    test(`${path} without a token`, async () => {
      await using edges = await openEdges();
      assert.equal(await call(edges, path, beginning), status.UNAUTHENTICATED);
      const lines = edges.log.filter(({ msg }) => msg === 'rpc');
      const expected = path === reflection ? [] : [['UNAUTHENTICATED', 'TOKEN_INVALID']];
      assert.deepEqual(
        lines.map(({ code, reason }) => [code, reason]),
        expected,
      );
    });

  test('from a caller that the method does not permit', async () => {
    await using edges = await openEdges();
    const { headers } = bearer(edges.token);
    assert.equal(await call(edges, operate, beginning, headers), status.PERMISSION_DENIED);
    const line = edges.log.find(({ msg }) => msg === 'rpc');
    assert.deepEqual([line?.['reason'], line?.['userId']], ['CALLER_NOT_ALLOWED', '7']);
  });
});

test('a compressed body is not decompressed for an unauthenticated caller', async () => {
  await using edges = await openEdges();
  const bomb = envelope(gzipSync(Buffer.alloc(50_000_000)), 1);
  assert.equal(await call(edges, write, bomb, { 'grpc-encoding': 'gzip' }), status.UNAUTHENTICATED);
});

test('an admitted call is logged once', async () => {
  await using edges = await openEdges();
  const client = clientOf(protocols[0].open(edges));
  await client.write({ channelId: 1n, content: 'hello' }, bearer(edges.token));
  assert.equal(edges.log.filter(({ msg }) => msg === 'rpc').length, 1);
});

suite('a body that does not end, of an admitted call', () => {
  const limited = { MAX_DEADLINE_MS: '300', DEFAULT_DEADLINE_MS: '300' };

  for (const path of [write, stream])
    test(`${path} ends after the maximum deadline`, async () => {
      await using edges = await openEdges({}, limited);
      const { headers } = bearer(edges.token);
      assert.equal(await call(edges, path, beginning, headers), status.DEADLINE_EXCEEDED);
    });

  for (const path of [check, watch]) {
    test(`${path} ends after the maximum deadline`, async () => {
      await using edges = await openEdges({}, limited);
      assert.equal(await call(edges, path, Buffer.alloc(0)), status.DEADLINE_EXCEEDED);
    });

    test(`${path} is limited in size`, async () => {
      await using edges = await openEdges();
      const large = Buffer.concat([beginningOfLarge, Buffer.alloc(60_000)]);
      assert.equal(await call(edges, path, large), status.RESOURCE_EXHAUSTED);
    });

    test(`${path} is limited in size after decompression`, async () => {
      await using edges = await openEdges();
      const bomb = envelope(gzipSync(Buffer.alloc(50_000)), 1);
      assert.equal(await call(edges, path, bomb, { 'grpc-encoding': 'gzip' }), status.RESOURCE_EXHAUSTED);
    });
  }
});

test('a call with 95,000 metadata keys, or 100 KB of metadata, is reset before it is served', async () => {
  await using edges = await openEdges();
  const { headers } = bearer(edges.token);
  const keys = Object.fromEntries(Array.from({ length: 95_000 }, (_, index) => [`k${index}`, '']));
  for (const metadata of [keys, { large: 'x'.repeat(100_000) }]) {
    const code = await call(edges, write, beginning, { ...headers, ...metadata });
    assert.equal(code, 'reset');
  }
  assert.deepEqual(
    edges.log.filter(({ msg }) => msg === 'rpc'),
    [],
  );
  const client = clientOf(protocols[0].open(edges));
  await client.write({ channelId: 1n, content: 'hello' }, bearer(edges.token));
});

/** Sends a body that does not end. Resolves, when the server has closed the stream, with its status. */
async function call(edges: TestEdges, path: string, body: Buffer, headers: Headers = {}) {
  const session = http2.connect(`http://${edges.grpc.address}`, { maxSendHeaderBlockLength: 10_000_000 });
  session.on('error', () => {});
  const request = session.request({
    ':method': 'POST',
    ':path': path,
    'content-type': 'application/grpc',
    te: 'trailers',
    ...headers,
  });
  let code: number | 'reset' = 'reset';
  const take = (fields: http2.IncomingHttpHeaders) => {
    if (fields['grpc-status'] !== undefined) code = Number(fields['grpc-status']);
  };
  request
    .on('response', take)
    .on('trailers', take)
    .on('error', () => {});
  request.resume();
  request.write(body);
  // Not `once`, which an error ends before.
  await until(() => request.closed && request.destroyed, 'the end of the stream');
  session.destroy();
  return code;
}

/** A call with an empty message, until its end. */
