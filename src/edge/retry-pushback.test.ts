import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { suite, test } from 'node:test';
import { create, toBinary } from '@bufbuild/protobuf';
import { createGrpcTransport, createGrpcWebTransport } from '@connectrpc/connect-node';
import { Client, credentials, Metadata, type ServiceError } from '@grpc/grpc-js';
import { SendMessageRequestSchema } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { bearer, clientOf, failureOf, openEdges, type TestEdges } from '../../test/kit/edge/edges.ts';
import { errors } from '../rpc/errors.ts';

const HEADER = 'grpc-retry-pushback-ms';

const failing = {
  async write({ content }: { content: string }): Promise<never> {
    if (content === 'overloaded') throw errors.overloaded('calls', 5, 1_500);
    if (content === 'quota') throw errors.storageQuotaExceeded('user', 1);
    throw errors.channelArchived();
  },
};

suite('the trailer of gRPC by which clients retry', () => {
  for (const [name, transportOf] of [
    ['mesh', ({ grpc }: TestEdges) => createGrpcTransport({ baseUrl: `http://${grpc.address}` })],
    ['web, gRPC', ({ web }: TestEdges) => createGrpcTransport({ baseUrl: `http://${web.address}` })],
    [
      'web, gRPC-Web',
      ({ web }: TestEdges) =>
        createGrpcWebTransport({ baseUrl: `http://${web.address}`, httpVersion: '1.1' }),
    ],
  ] as const)
    test(name, async () => {
      await using edges = await openEdges(failing);
      const client = clientOf(transportOf(edges));
      const trailerOf = async (content: string) => {
        const { error } = await failureOf(client.write({ channelId: 1n, content }, bearer(edges.token)));
        return error.metadata.get(HEADER);
      };
      assert.equal(await trailerOf('overloaded'), '1500');
      assert.equal(await trailerOf('quota'), '-1');
      assert.equal(await trailerOf('archived'), null);
    });
});

type Policy = { name: { service: string; method?: string }[]; timeout?: string };

const serviceConfig: { methodConfig: Policy[] } = JSON.parse(
  readFileSync('docs/service-config.json', 'utf8'),
);

suite('grpc-js with the recommended service config', () => {
  test('repeats a call after the delay that the server sent', async () => {
    const times: number[] = [];
    await using edges = await openEdges({
      async write() {
        times.push(performance.now());
        if (times.length < 3) throw errors.overloaded('calls', 5, 300);
        return {};
      },
    });
    await send(edges);
    assert.equal(times.length, 3);
    const [first = 0, second = 0, third = 0] = times;
    assert.ok(second - first > 250 && third - second > 250, times.join());
  });

  test('does not repeat a call that would get the same error', async () => {
    let calls = 0;
    await using edges = await openEdges({
      async write() {
        calls += 1;
        throw errors.storageQuotaExceeded('user', 1);
      },
    });
    await assert.rejects(send(edges), /RESOURCE_EXHAUSTED/);
    assert.equal(calls, 1);
  });

  test('it names every service of the API, and limits no stream in time', () => {
    const streams: { service: string; method: string }[] = [];
    const services = readdirSync('proto/serp/discuss/v1').flatMap((file) => {
      const text = readFileSync(`proto/serp/discuss/v1/${file}`, 'utf8');
      const name = /^service (\w+) /m.exec(text)?.[1];
      if (name === undefined) return [];
      const service = `serp.discuss.v1.${name}`;
      for (const [, method = ''] of text.matchAll(/^ {2}rpc (\w+)\(.*\bstream /gm))
        streams.push({ service, method });
      return [service];
    });
    const named = serviceConfig.methodConfig.flatMap(({ name }) => name.map(({ service }) => service));
    assert.deepEqual([...new Set(named)].sort(), services.sort());
    assert.equal(streams.length, 5);
    for (const stream of streams) assert.equal(policyOf(stream)?.timeout, undefined, stream.method);
  });
});

/** The policy of a method; one that names it has precedence over one of its service. */
function policyOf({ service, method }: { service: string; method: string }): Policy | undefined {
  const { methodConfig } = serviceConfig;
  const withName = (wanted: string | undefined) =>
    methodConfig.find(({ name }) => name.some((of) => of.service === service && of.method === wanted));
  return withName(method) ?? withName(undefined);
}

/** Calls Write under the policy of MessageService. */
async function send({ grpc, token }: TestEdges): Promise<void> {
  const config = JSON.stringify(serviceConfig).replaceAll(
    'serp.discuss.v1.MessageService',
    'test.EchoService',
  );
  const client = new Client(grpc.address, credentials.createInsecure(), { 'grpc.service_config': config });
  const metadata = new Metadata();
  metadata.set('authorization', `Bearer ${token}`);
  const message = create(SendMessageRequestSchema, { channelId: 1n, content: 'x', requestId: randomUUID() });
  const request = Buffer.from(toBinary(SendMessageRequestSchema, message));
  const same = (bytes: Buffer) => bytes;
  try {
    await new Promise<void>((resolve, reject) => {
      const done = (error: ServiceError | null) => (error === null ? resolve() : reject(error));
      client.makeUnaryRequest('/test.EchoService/Write', same, same, request, metadata, done);
    });
  } finally {
    client.close();
  }
}
