import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { test } from 'node:test';
import {
  Client,
  type ClientReadableStream,
  credentials,
  type Metadata,
  Metadata as MetadataClass,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import { openEdges } from '../../../test/kit/edge/edges.ts';
import { until } from '../../../test/kit/until.ts';

const same = (bytes: Buffer) => bytes;
const malformed = Buffer.from([0x0a]);

function metadataOf(token: string): Metadata {
  const metadata = new MetadataClass();
  metadata.set('authorization', `Bearer ${token}`);
  return metadata;
}

for (const version of ['v1', 'v1alpha']) {
  const path = `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`;

  test(`reflection ${version} rejects bytes that are not a request, and ends only that call`, async () => {
    await using edges = await openEdges();
    using connection = connect(edges.grpc.address);
    for (const bytes of [malformed, Buffer.from([0xff, 0xff]), Buffer.alloc(3, 0x0a)]) {
      const call = connection.client.makeBidiStreamRequest(path, same, same, metadataOf(edges.token));
      call.write(bytes);
      call.write(bytes);
      const [error]: ServiceError[] = await once(call, 'error');
      assert.equal(error?.code, status.INVALID_ARGUMENT);
    }
    const stream = connection.client.makeBidiStreamRequest(path, same, same, metadataOf(edges.token));
    stream.write(Buffer.from([0x3a, 0x00]));
    const [response] = await once(stream, 'data');
    assert.ok(Buffer.isBuffer(response) && response.length > 0);
    stream.end();
    await once(stream, 'end');
  });

  test(`reflection ${version} ends a call of more than 200 requests`, async () => {
    await using edges = await openEdges();
    using connection = connect(edges.grpc.address);
    const call = connection.client.makeBidiStreamRequest(path, same, same, metadataOf(edges.token));
    let responses = 0;
    call.on('data', () => {
      responses += 1;
    });
    const failed = once(call, 'error');
    for (let index = 0; index < 300; index += 1) call.write(Buffer.from([0x3a, 0x00]));
    const [error]: ServiceError[] = await failed;
    assert.equal(error?.code, status.RESOURCE_EXHAUSTED);
    assert.ok(responses <= 200);
  });
}

test('health rejects bytes that are not a request', async () => {
  await using edges = await openEdges();
  using connection = connect(edges.grpc.address);
  const { client } = connection;
  const watch = client.makeServerStreamRequest('/grpc.health.v1.Health/Watch', same, same, malformed);
  const [error]: ServiceError[] = await once(watch, 'error');
  assert.equal(error?.code, status.INVALID_ARGUMENT);
  const check = await new Promise<ServiceError | null>((resolve) => {
    client.makeUnaryRequest('/grpc.health.v1.Health/Check', same, same, malformed, (failure) =>
      resolve(failure),
    );
  });
  assert.equal(check?.code, status.INVALID_ARGUMENT);
});

for (const { kind, limit, env } of [
  { kind: 'configured number', limit: 3, env: { GRPC_HEALTH_WATCHES: '3' } },
  { kind: 'number of one connection', limit: 20, env: {} },
])
  test(`health watches above the ${kind} are rejected until one ends`, async () => {
    await using edges = await openEdges({}, env);
    using connection = connect(edges.grpc.address);
    const watches = Array.from({ length: limit }, () => watchHealth(connection.client));
    await Promise.all(watches.map((watch) => once(watch, 'data')));
    const [error]: ServiceError[] = await once(watchHealth(connection.client), 'error');
    assert.equal(error?.code, status.RESOURCE_EXHAUSTED);
    watches[0]?.cancel();
    const isAccepted = () =>
      once(watchHealth(connection.client), 'data').then(
        () => true,
        () => false,
      );
    await until(isAccepted, 'a watch in the place of the one that ended');
  });

test('health watches of one connection do not limit those of others', async () => {
  await using edges = await openEdges();
  using first = connect(edges.grpc.address);
  using second = connect(edges.grpc.address);
  const watches = Array.from({ length: 20 }, () => watchHealth(first.client));
  await Promise.all(watches.map((watch) => once(watch, 'data')));
  await once(watchHealth(second.client), 'data');
});

test('connections above the configured number are closed until one ends', async () => {
  await using edges = await openEdges({}, { GRPC_CONNECTIONS: '1' });
  const [host, port] = edges.grpc.address.split(':');
  const open = () => net.connect(Number(port), host).on('error', () => {});
  const first = open();
  await once(first, 'connect');
  const second = open();
  await once(second, 'close');
  first.destroy();
  const isAccepted = async () => {
    const next = open();
    const bytes = once(next, 'data').then(() => true);
    // The settings that an HTTP/2 server sends first.
    next.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
    const closed = new Promise<boolean>((resolve) => next.once('close', () => resolve(false)));
    const accepted = await Promise.race([bytes, closed]);
    next.destroy();
    return accepted;
  };
  await until(isAccepted, 'a connection in the place of the one that ended');
});

function watchHealth(client: Client): ClientReadableStream<Buffer> {
  const path = '/grpc.health.v1.Health/Watch';
  const watch = client.makeServerStreamRequest(path, same, same, Buffer.alloc(0));
  // The end of the server is one of a watch, too.
  return watch.on('error', () => {});
}

function connect(address: string) {
  const ownConnection = { 'grpc.use_local_subchannel_pool': 1 };
  const client = new Client(address, credentials.createInsecure(), ownConnection);
  return { client, [Symbol.dispose]: () => client.close() };
}
