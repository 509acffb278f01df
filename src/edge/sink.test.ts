import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import http2 from 'node:http2';
import { type Readable, Writable } from 'node:stream';
import { test } from 'node:test';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { fromBinary } from '@bufbuild/protobuf';
import { SubscribeResponseSchema } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { numberedFrame, numberOf, openEdges, type TestEdges } from '../../test/kit/edge/edges.ts';
import { StreamSink } from './sink.ts';

const cap = 256 * 1024;

/** Clients that open a stream and do not read it. They return the body of the response. */
const clients = [
  {
    name: 'gRPC on the mesh edge',
    open: ({ grpc, token }: TestEdges) => openHttp2(grpc.address, 'application/grpc', token),
  },
  {
    name: 'gRPC-Web over HTTP/2',
    open: ({ web, token }: TestEdges) => openHttp2(web.address, 'application/grpc-web+proto', token),
  },
  {
    name: 'Connect over HTTP/2',
    open: ({ web, token }: TestEdges) => openHttp2(web.address, 'application/connect+proto', token),
  },
  { name: 'Connect over HTTP/1.1', open: ({ web, token }: TestEdges) => openHttp1(web.address, token) },
];

for (const client of clients) {
  test(`${client.name}: a client that stops reading has a bounded buffer and loses no frame`, async () => {
    const seen = { highest: 0, afterPause: 0, written: 0n };
    const drained = Promise.withResolvers<void>();
    const stopped = Promise.withResolvers<void>();
    await using edges = await openEdges({
      async stream(_request, _call, sink) {
        // The system takes some of it later.
        while (seen.afterPause <= cap - 40_000 && seen.written < 100_000n) {
          while (sink.buffered < cap && seen.written < 100_000n) {
            sink.write(numberedFrame(++seen.written, 1_000));
            seen.highest = Math.max(seen.highest, sink.buffered);
            if (seen.written % 20n === 0n) await nextTurn();
          }
          await sleep(100);
          seen.afterPause = sink.buffered;
        }
        sink.onDrain(drained.resolve);
        stopped.resolve();
        await drained.promise;
        assert.equal(sink.buffered, 0);
        sink.write(numberedFrame(++seen.written));
      },
    });
    await using opened = await client.open(edges);
    await stopped.promise;
    assert.ok(seen.written < 100_000n, 'the sink never filled');
    assert.ok(seen.highest < cap + 40_000, `buffered ${seen.highest}`);
    assert.ok(seen.afterPause > cap - 40_000, `after a pause only ${seen.afterPause} are buffered`);
    const numbers = await readFrames(opened.body);
    await drained.promise;
    assert.deepEqual(
      numbers,
      Array.from({ length: Number(seen.written) }, (_, index) => BigInt(index + 1)),
    );
  });
}

for (const [name, address, contentType] of [
  ['mesh', ({ grpc }: TestEdges) => grpc.address, 'application/grpc'],
  ['web', ({ web }: TestEdges) => web.address, 'application/connect+proto'],
] as const) {
  test(`slow streams on one connection to the ${name} edge do not break the connection`, async () => {
    let full = 0;
    await using edges = await openEdges(
      {
        async stream(_request, { signal }, sink) {
          const frame = numberedFrame(1n, 10_000);
          while (sink.buffered < cap) sink.write(frame);
          full++;
          await new Promise((resolve) => signal.addEventListener('abort', resolve));
        },
      },
      { LIMIT_STREAMS_PER_USER: '0', LIMIT_STREAM_OPENS_PER_MINUTE: '0' },
    );
    const session = http2.connect(`http://${address(edges)}`);
    const streams: http2.ClientHttp2Stream[] = [];
    while (streams.length < 100) streams.push(await openStream(session, contentType, edges.token));
    assert.equal(full, 100);
    assert.ok(streams.every((stream) => !stream.destroyed));
    session.destroy();
  });
}

test('frames written in one turn of the event loop leave in one write', async () => {
  const writes: number[] = [];
  const output = new Writable({
    writev(chunks, callback) {
      writes.push(chunks.length);
      setImmediate(callback);
    },
  });
  const sink = new StreamSink('binary', () => output);
  for (let seq = 1n; seq <= 10n; seq++) sink.write(numberedFrame(seq));
  await nextTurn();
  sink.write(numberedFrame(11n));
  await nextTurn();
  await nextTurn();
  assert.deepEqual(writes, [10, 1]);
});

test('onDrain fires once, also when nothing was buffered, and the last callback counts', async () => {
  const calls: string[] = [];
  const sink = new StreamSink('binary', () => assert.fail('nothing was written'));
  sink.onDrain(() => calls.push('replaced'));
  sink.onDrain(() => calls.push('kept'));
  await nextTurn();
  await nextTurn();
  assert.deepEqual(calls, ['kept']);
});

test('frames written after the end or to a broken connection are dropped', async () => {
  const broken = new Writable({ write: (_chunk, _encoding, callback) => callback() });
  const sink = new StreamSink('binary', () => broken);
  sink.write(numberedFrame(1n));
  broken.on('error', () => {});
  broken.destroy(new Error('reset'));
  sink.write(numberedFrame(2n));
  sink.end();
  sink.write(numberedFrame(3n));
  await nextTurn();
  assert.equal(sink.buffered, 0);
});

type Opened = AsyncDisposable & { readonly body: Readable };

async function openHttp2(address: string, contentType: string, token: string): Promise<Opened> {
  const session = http2.connect(`http://${address}`);
  return {
    body: await openStream(session, contentType, token),
    async [Symbol.asyncDispose]() {
      session.destroy();
    },
  };
}

async function openStream(session: http2.ClientHttp2Session, contentType: string, token: string) {
  const stream = session.request({
    ':method': 'POST',
    ':path': '/test.EchoService/Stream',
    'content-type': contentType,
    'connect-protocol-version': '1',
    te: 'trailers',
    authorization: `Bearer ${token}`,
  });
  stream.end(Buffer.alloc(5));
  await once(stream, 'response');
  return stream;
}

async function openHttp1(address: string, token: string): Promise<Opened> {
  const request = http.request(`http://${address}/test.EchoService/Stream`, {
    method: 'POST',
    headers: { 'content-type': 'application/connect+proto', authorization: `Bearer ${token}` },
  });
  request.end(Buffer.alloc(5));
  const [response] = await once(request, 'response');
  return {
    body: response,
    async [Symbol.asyncDispose]() {
      request.destroy();
    },
  };
}

/** Numbers of the frames in a body of any of the three protocols, without its end frame. */
async function readFrames(body: Readable): Promise<(bigint | undefined)[]> {
  const chunks: Buffer[] = [];
  for await (const chunk of body) chunks.push(chunk);
  const bytes = Buffer.concat(chunks);
  const numbers = [];
  for (let at = 0; at < bytes.length; ) {
    const end = at + 5 + bytes.readUInt32BE(at + 1);
    if (bytes[at] === 0)
      numbers.push(numberOf(fromBinary(SubscribeResponseSchema, bytes.subarray(at + 5, end))));
    at = end;
  }
  return numbers;
}
