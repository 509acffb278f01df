import { create, setExtension, toBinary } from '@bufbuild/protobuf';
import { fileDesc, type GenService, serviceDesc } from '@bufbuild/protobuf/codegenv2';
import { base64Encode } from '@bufbuild/protobuf/wire';
import {
  FileDescriptorProtoSchema,
  MethodOptions_IdempotencyLevel,
  MethodOptionsSchema,
} from '@bufbuild/protobuf/wkt';
import {
  file_serp_discuss_v1_event_service,
  type SubscribeRequestSchema,
  type SubscribeResponseSchema,
} from '#gen/serp/discuss/v1/event_service_pb.ts';
import {
  file_serp_discuss_v1_message_service,
  type GetMessageRequestSchema,
  type GetMessageResponseSchema,
  type SendMessageRequestSchema,
  type SendMessageResponseSchema,
} from '#gen/serp/discuss/v1/message_service_pb.ts';
import {
  Access,
  access,
  file_serp_discuss_v1_options,
  Quota,
  quota,
} from '#gen/serp/discuss/v1/options_pb.ts';

type Unary<I, O> = { methodKind: 'unary'; input: I; output: O };

/**
 * A service for the tests of the edges, with the real messages: an RPC of each kind, access and quota. It is described
 * here rather than in a proto, so that no code is generated for it.
 */
export const EchoService: GenService<{
  write: Unary<typeof SendMessageRequestSchema, typeof SendMessageResponseSchema>;
  read: Unary<typeof GetMessageRequestSchema, typeof GetMessageResponseSchema>;
  serve: Unary<typeof GetMessageRequestSchema, typeof GetMessageResponseSchema>;
  operate: Unary<typeof GetMessageRequestSchema, typeof GetMessageResponseSchema>;
  stream: {
    methodKind: 'server_streaming';
    input: typeof SubscribeRequestSchema;
    output: typeof SubscribeResponseSchema;
  };
}> = serviceDesc(
  describe([
    method('Write', 'SendMessage', Access.USER, Quota.WRITE),
    method('Read', 'GetMessage', Access.USER, Quota.READ, true),
    method('Serve', 'GetMessage', Access.SERVICE, Quota.READ),
    method('Operate', 'GetMessage', Access.OPERATOR, Quota.READ),
    { ...method('Stream', 'Subscribe', Access.USER, Quota.STREAM), serverStreaming: true },
  ]),
  0,
);

/** A service whose only RPC has no access option. */
export const UnimplementedService: GenService<{
  read: Unary<typeof GetMessageRequestSchema, typeof GetMessageResponseSchema>;
}> = serviceDesc(describe([method('Read', 'GetMessage', Access.UNSPECIFIED, Quota.READ)]), 0);

type Method = ReturnType<typeof method>;

function method(name: string, messages: string, allowed: Access, counted: Quota, readOnly = false) {
  const options = create(MethodOptionsSchema);
  if (allowed !== Access.UNSPECIFIED) setExtension(options, access, allowed);
  setExtension(options, quota, counted);
  if (readOnly) options.idempotencyLevel = MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS;
  const inputType = `.serp.discuss.v1.${messages}Request`;
  return { name, inputType, outputType: `.serp.discuss.v1.${messages}Response`, options };
}

function describe(methods: (Method & { serverStreaming?: boolean })[]) {
  const imports = [
    file_serp_discuss_v1_event_service,
    file_serp_discuss_v1_message_service,
    file_serp_discuss_v1_options,
  ];
  const proto = create(FileDescriptorProtoSchema, {
    name: 'echo.proto',
    package: 'test',
    syntax: 'proto3',
    dependency: imports.map((file) => file.proto.name),
    service: [{ name: 'EchoService', method: methods }],
  });
  return fileDesc(base64Encode(toBinary(FileDescriptorProtoSchema, proto)), imports);
}
