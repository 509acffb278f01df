import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { connect } from 'node:net';
import { test } from 'node:test';
import { create, type DescMessage, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { Code, createClient } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { Client, credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { StatusSchema } from '#gen/google/rpc/status_pb.ts';
import { Health, HealthCheckResponse_ServingStatus as Serving } from '#gen/grpc/health/v1/health_pb.ts';
import {
  SendMessageRequestSchema,
  SendMessageResponseSchema,
} from '#gen/serp/discuss/v1/message_service_pb.ts';
import {
  bearer,
  clientOf,
  failureOf,
  numberedFrame,
  numberOf,
  openEdges,
} from '../../../test/kit/edge/edges.ts';
import { until } from '../../../test/kit/until.ts';

const gzip = { 'grpc.default_compression_algorithm': 2 } as const;

test('a compressed request is decompressed', async () => {
  await using edges = await openEdges();
  const content = 'the same again '.repeat(100);
  const response = await send(edges.grpc.address, edges.token, { channelId: 1n, content }, gzip);
  assert.equal(fromBinary(SendMessageResponseSchema, response).message?.content, content);
});

test('a request above the size limit after decompression is rejected', async () => {
  await using edges = await openEdges({}, { MAX_MESSAGE_BYTES: '10000' });
  for (const length of [10_000, 5_000_000]) {
    const content = 'x'.repeat(length);
    const error = await send(edges.grpc.address, edges.token, { channelId: 1n, content }, gzip).catch(
      (reason) => reason,
    );
    assert.equal(error.code, status.RESOURCE_EXHAUSTED);
    assert.match(error.details, /at most 10000 bytes/);
    const line = edges.log.filter(({ msg }) => msg === 'rpc').at(-1);
    assert.equal(line?.['reason'], 'REQUEST_TOO_LARGE');
  }
  assert.equal(edges.log.filter(({ msg }) => msg === 'rpc').length, 2);
});

test('error details are in grpc-status-details-bin', async () => {
  await using edges = await openEdges({}, { MAX_MESSAGE_BYTES: '10000' });
  const large = send(edges.grpc.address, edges.token, { channelId: 1n, content: 'x'.repeat(20_000) });
  const error = await large.catch((reason) => reason);
  assert.equal(error.code, status.RESOURCE_EXHAUSTED);
  const [details] = error.metadata.get('grpc-status-details-bin');
  assert.ok(details instanceof Buffer);
  assert.match(JSON.stringify(fromBinary(StatusSchema, details).details[0]?.typeUrl), /google.rpc.ErrorInfo/);
  assert.match(details.toString('latin1'), /REQUEST_TOO_LARGE/);
});

test('bytes that cannot be decoded are INVALID_ARGUMENT, not INTERNAL', async () => {
  await using edges = await openEdges();
  const error = await sendBytes(edges.grpc.address, edges.token, Buffer.from('garbage')).catch(
    (reason) => reason,
  );
  assert.equal(error.code, status.INVALID_ARGUMENT);
  assert.match(error.details, /cannot be decoded as serp.discuss.v1.SendMessageRequest/);
});

test('health checks need no token and cover the server and each service', async () => {
  await using edges = await openEdges();
  const health = createClient(Health, createGrpcTransport({ baseUrl: `http://${edges.grpc.address}` }));
  assert.equal((await health.check({})).status, Serving.SERVING);
  assert.equal((await health.check({ service: 'test.EchoService' })).status, Serving.SERVING);
  const { error } = await failureOf(health.check({ service: 'test.Nothing' }));
  assert.equal(error.code, Code.NotFound);
  assert.deepEqual(Object.keys((await health.list({})).statuses).sort(), ['', 'test.EchoService']);
});

test('a drain lets a running call finish, rejects new calls and ends streams', async () => {
  const finish = Promise.withResolvers<void>();
  await using edges = await openEdges({
    async write() {
      await finish.promise;
      return { message: { content: 'done' } };
    },
    async stream(_request, { signal }, sink) {
      sink.write(numberedFrame(1n));
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
    },
  });
  const transport = createGrpcTransport({ baseUrl: `http://${edges.grpc.address}` });
  const client = clientOf(transport);
  const health = createClient(Health, transport);
  const watched: Serving[] = [];
  const watch = failureOf(
    (async () => {
      for await (const response of health.watch({})) watched.push(response.status);
    })(),
  );
  const running = client.write({ channelId: 1n, content: 'x' }, bearer(edges.token));
  const streamed = client.stream({}, bearer(edges.token))[Symbol.asyncIterator]();
  assert.equal(numberOf((await streamed.next()).value), 1n);
  const drained = edges.grpc.drain();

  const streamEnd = await failureOf(Promise.resolve(streamed.next()));
  assert.equal(streamEnd.error.code, Code.Unavailable);
  assert.equal(streamEnd.reason, 'SERVER_DRAINING');
  const rejected = await failureOf(client.read({ channelId: 1n, messageId: 1n }, bearer(edges.token)));
  assert.equal(rejected.error.code, Code.Unavailable);
  assert.equal(rejected.reason, 'SERVER_DRAINING');
  assert.equal((await health.check({})).status, Serving.NOT_SERVING);

  finish.resolve();
  assert.equal((await running).message?.content, 'done');
  await drained;
  assert.equal((await watch).error.code, Code.Unavailable);
  assert.deepEqual(watched, [Serving.SERVING, Serving.NOT_SERVING]);
  assert.equal(await connects(edges.grpc.address), false);
});

test('a call that outlasts the drain time is ended', async () => {
  const started = Promise.withResolvers<void>();
  const write = () => {
    started.resolve();
    return new Promise<never>(() => {});
  };
  await using edges = await openEdges({ write }, { DRAIN_TIMEOUT_MS: '100' });
  const client = clientOf(createGrpcTransport({ baseUrl: `http://${edges.grpc.address}` }));
  const running = failureOf(client.write({ channelId: 1n, content: 'x' }, bearer(edges.token)));
  await started.promise;
  await edges.grpc.drain();
  assert.equal((await running).reason, 'SERVER_DRAINING');
});

test('a drain ends the connection of a client that reads its stream no further', async () => {
  const stopped = Promise.withResolvers<void>();
  let isSent = false;
  await using edges = await openEdges({
    async stream(_request, { signal }, sink) {
      for (let seq = 1n; seq <= 3n; seq += 1n) sink.write(numberedFrame(seq));
      await stopped.promise;
      for (let seq = 4n; seq <= 9n; seq += 1n) {
        sink.write(numberedFrame(seq));
        await until(() => sink.buffered === 0);
      }
      isSent = true;
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
    },
  });
  const client = clientOf(createGrpcTransport({ baseUrl: `http://${edges.grpc.address}` }));
  // Leaving the loop does not cancel the call.
  for await (const frame of client.stream({}, bearer(edges.token))) if (numberOf(frame) === 3n) break;
  stopped.resolve();
  await until(() => isSent);
  await edges.grpc.drain();
  assert.equal(await connects(edges.grpc.address), false);
});

test('a stream ends when its connection reaches its maximum age', async () => {
  await using edges = await openEdges(
    {
      async stream(_request, { signal }, sink) {
        sink.write(numberedFrame(1n));
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
      },
    },
    { GRPC_CONNECTION_AGE_MS: '100', GRPC_CONNECTION_AGE_GRACE_MS: '2000' },
  );
  const client = clientOf(createGrpcTransport({ baseUrl: `http://${edges.grpc.address}` }));
  const streamed = client.stream({}, bearer(edges.token))[Symbol.asyncIterator]();
  await streamed.next();
  const { error, reason } = await failureOf(Promise.resolve(streamed.next()));
  assert.equal(error.code, Code.Unavailable);
  assert.equal(reason, 'SERVER_DRAINING');
});

async function send(
  address: string,
  token: string,
  request: MessageInitShape<typeof SendMessageRequestSchema>,
  options = {},
): Promise<Buffer> {
  return sendBytes(
    address,
    token,
    encode(SendMessageRequestSchema, { requestId: randomUUID(), ...request }),
    options,
  );
}

/** Calls Write with a client of grpc-js. */
async function sendBytes(address: string, token: string, request: Buffer, options = {}): Promise<Buffer> {
  const client = new Client(address, credentials.createInsecure(), options);
  const metadata = new Metadata();
  metadata.set('authorization', `Bearer ${token}`);
  const same = (bytes: Buffer) => bytes;
  try {
    return await new Promise((resolve, reject) => {
      client.makeUnaryRequest(
        '/test.EchoService/Write',
        same,
        same,
        request,
        metadata,
        (error: ServiceError | null, response) =>
          error === null ? resolve(response ?? Buffer.alloc(0)) : reject(error),
      );
    });
  } finally {
    client.close();
  }
}

function encode<Desc extends DescMessage>(desc: Desc, init: MessageInitShape<Desc>): Buffer {
  return Buffer.from(toBinary(desc, create(desc, init)));
}

function connects(address: string): Promise<boolean> {
  const [host = '', port] = address.split(':');
  return new Promise((resolve) => {
    const socket = connect(Number(port), host);
    socket.on('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}
