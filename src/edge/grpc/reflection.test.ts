import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, createFileRegistry, fromBinary, getOption } from '@bufbuild/protobuf';
import {
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
} from '@bufbuild/protobuf/wkt';
import { field as fieldRules } from '@bufbuild/protovalidate/gen/buf/validate/validate_pb.js';
import { Code, createClient } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { ServerReflection } from '#gen/grpc/reflection/v1/reflection_pb.ts';
import { ServerReflection as ServerReflectionAlpha } from '#gen/grpc/reflection/v1alpha/reflection_pb.ts';
import { Access, access } from '#gen/serp/discuss/v1/options_pb.ts';
import { bearer, failureOf, openEdges } from '../../../test/kit/edge/edges.ts';

for (const [name, service] of [
  ['v1', ServerReflection],
  ['v1alpha', ServerReflectionAlpha],
] as const) {
  test(`reflection ${name} lists all services and returns descriptors with their options`, async () => {
    await using edges = await openEdges();
    const client = createClient(service, createGrpcTransport({ baseUrl: `http://${edges.grpc.address}` }));
    const requests = [
      { messageRequest: { case: 'listServices', value: '' } },
      { messageRequest: { case: 'fileContainingSymbol', value: 'test.EchoService.Write' } },
      { messageRequest: { case: 'fileContainingSymbol', value: 'test.Nothing' } },
      {
        messageRequest: {
          case: 'fileContainingExtension',
          value: { containingType: 'google.protobuf.MethodOptions', extensionNumber: access.number },
        },
      },
    ] as const;
    const responses = [];
    for await (const response of client.serverReflectionInfo(stream(requests), bearer(edges.token))) {
      responses.push(response.messageResponse);
    }
    assert.ok(responses[0]?.case === 'listServicesResponse');
    assert.deepEqual(responses[0].value.service.map((entry) => entry.name).sort(), [
      'grpc.health.v1.Health',
      'grpc.reflection.v1.ServerReflection',
      'grpc.reflection.v1alpha.ServerReflection',
      'test.EchoService',
    ]);
    assert.ok(responses[1]?.case === 'fileDescriptorResponse');
    const file = responses[1].value.fileDescriptorProto.map((bytes) =>
      fromBinary(FileDescriptorProtoSchema, bytes),
    );
    const registry = createFileRegistry(create(FileDescriptorSetSchema, { file: inOrder(file) }));
    const write = registry.getService('test.EchoService')?.method['write'];
    assert.ok(write !== undefined);
    assert.equal(getOption(write, access), Access.USER);
    const channelId = write.input.fields.find((field) => field.name === 'channel_id');
    assert.ok(channelId !== undefined);
    assert.equal(getOption(channelId, fieldRules).type.case, 'int64');
    assert.equal(responses[2]?.case, 'errorResponse');
    assert.equal(responses[3]?.case, 'fileDescriptorResponse');
  });
}

test('reflection requires a token, unless it is configured as open', async () => {
  const requests = [{ messageRequest: { case: 'listServices', value: '' } }] as const;
  await using edges = await openEdges();
  const client = createClient(
    ServerReflection,
    createGrpcTransport({ baseUrl: `http://${edges.grpc.address}` }),
  );
  const rejected = client.serverReflectionInfo(stream(requests))[Symbol.asyncIterator]().next();
  assert.equal((await failureOf(rejected)).error.code, Code.Unauthenticated);
  await using open = await openEdges({}, { GRPC_OPEN_REFLECTION: 'true' });
  const anonymous = createClient(
    ServerReflection,
    createGrpcTransport({ baseUrl: `http://${open.grpc.address}` }),
  );
  for await (const { messageResponse } of anonymous.serverReflectionInfo(stream(requests))) {
    assert.equal(messageResponse.case, 'listServicesResponse');
  }
});

test('reflection has the types of error details and reasons, and descriptor.proto as published', async () => {
  await using edges = await openEdges();
  const client = createClient(
    ServerReflection,
    createGrpcTransport({ baseUrl: `http://${edges.grpc.address}` }),
  );
  const symbols = [
    'google.rpc.ErrorInfo',
    'google.rpc.Status',
    'serp.discuss.v1.ErrorReason',
    'test.EchoService',
  ];
  const requests = symbols.map((value) => ({
    messageRequest: { case: 'fileContainingSymbol' as const, value },
  }));
  const files: FileDescriptorProto[] = [];
  for await (const { messageResponse } of client.serverReflectionInfo(
    stream(requests),
    bearer(edges.token),
  )) {
    assert.ok(messageResponse.case === 'fileDescriptorResponse');
    for (const bytes of messageResponse.value.fileDescriptorProto)
      files.push(fromBinary(FileDescriptorProtoSchema, bytes));
  }
  const descriptorProto = files.find(({ name }) => name === 'google/protobuf/descriptor.proto');
  assert.equal(descriptorProto?.options?.goPackage, 'google.golang.org/protobuf/types/descriptorpb');
  assert.ok(files.some(({ name }) => name === 'serp/discuss/v1/error.proto'));
});

test('without a token, reflection has only what health checks and errors need', async () => {
  await using edges = await openEdges();
  const client = createClient(
    ServerReflection,
    createGrpcTransport({ baseUrl: `http://${edges.grpc.address}` }),
  );
  const reflectFile = async (value: string) => {
    const requests = [{ messageRequest: { case: 'fileContainingSymbol', value } }] as const;
    for await (const { messageResponse } of client.serverReflectionInfo(stream(requests)))
      return messageResponse.case;
    return undefined;
  };
  for (const symbol of ['grpc.health.v1.Health', 'google.rpc.ErrorInfo'])
    assert.equal(await reflectFile(symbol), 'fileDescriptorResponse');
  for (const symbol of ['test.EchoService', 'serp.discuss.v1.Message', 'test.Nothing'])
    assert.equal((await failureOf(reflectFile(symbol))).error.code, Code.Unauthenticated);
});

test('reflection ends when the token expires', async () => {
  let time = Date.now();
  await using edges = await openEdges({}, {}, () => time);
  const requests = [{ messageRequest: { case: 'listServices', value: '' } }] as const;
  const client = createClient(
    ServerReflection,
    createGrpcTransport({ baseUrl: `http://${edges.grpc.address}` }),
  );
  const open = client.serverReflectionInfo(withoutEnd(requests), bearer(edges.token))[Symbol.asyncIterator]();
  assert.equal((await open.next()).value?.messageResponse.case, 'listServicesResponse');
  time += 30 * 86_400_000;
  const { error, reason } = await failureOf(open.next());
  assert.equal(error.code, Code.Unauthenticated);
  assert.equal(reason, 'TOKEN_EXPIRED');
});

async function* withoutEnd<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items;
  await new Promise(() => {});
}

async function* stream<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items;
}

/** A registry requires files after their imports; reflection may return them in any order. */
function inOrder<T extends { name: string; dependency: string[] }>(
  files: T[],
  done = new Map<string, T>(),
): T[] {
  const visit = (file: T): void => {
    if (done.has(file.name)) return;
    for (const name of file.dependency) {
      const imported = files.find((other) => other.name === name);
      assert.ok(imported !== undefined, `${file.name} imports ${name}, which is missing`);
      visit(imported);
    }
    done.set(file.name, file);
  };
  files.forEach(visit);
  return [...done.values()];
}
