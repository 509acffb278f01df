import {
  create,
  type DescEnum,
  type DescExtension,
  type DescFile,
  type DescMessage,
  type DescService,
  fromBinary,
  type MessageInitShape,
  toBinary,
} from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import type { Server, ServerDuplexStream } from '@grpc/grpc-js';
import type { Logger } from 'pino';
import { Code } from '#gen/google/rpc/code_pb.ts';
import {
  ServerReflection,
  type ServerReflectionRequest,
  ServerReflectionRequestSchema,
  ServerReflectionResponseSchema,
} from '#gen/grpc/reflection/v1/reflection_pb.ts';
import { ServerReflection as ServerReflectionAlpha } from '#gen/grpc/reflection/v1alpha/reflection_pb.ts';
import type { Api } from '../../rpc/api.ts';
import { errors } from '../../rpc/errors.ts';
import { callerOf } from '../../rpc/interceptors/authenticate.ts';
import { guard } from '../../telemetry/guard.ts';
import type { Metrics } from '../../telemetry/metrics.ts';
import { asBuffer, headerOf, serviceDefinition } from './service-definition.ts';
import { toStatus } from './status.ts';

/** The response to a request; undefined if that cannot be decoded. */
type Reflector = (request: Uint8Array) => Uint8Array | undefined;

type ReflectionCall = ServerDuplexStream<Buffer, Buffer>;

type Response = NonNullable<MessageInitShape<typeof ServerReflectionResponseSchema>['messageResponse']>;

// Far above what clients ask for: grpcurl and buf need one request per file.
const MAX_REQUESTS = 200;

type Parts = {
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Undefined where reflection requires no token. */
  readonly access: Pick<Api, 'verifyToken' | 'openStreams'> | undefined;
};

/**
 * Server reflection, v1 and v1alpha, whose messages are the same on the wire. It serves the descriptors that the
 * service runs on: @grpc/reflection re-encodes them and loses our options and protovalidate's rules.
 * It requires a token, like every RPC except health checks, unless it is configured as open.
 */
export function addReflection(server: Server, services: readonly DescService[], parts: Parts): void {
  const all = [...services, ServerReflection, ServerReflectionAlpha];
  const reflect = createReflection(all);
  const serverReflectionInfo = (call: ReflectionCall) => {
    const end = endOf(call);
    authenticate(call, end, parts.access).then(() => serveRequests(call, end, reflect, parts), end);
  };
  server.addService(serviceDefinition(ServerReflection), { serverReflectionInfo });
  server.addService(serviceDefinition(ServerReflectionAlpha), { serverReflectionInfo });
}

/** Ends the call with the first error that it is given. */
type End = (error: unknown) => void;

function endOf(call: ReflectionCall): End {
  return (error) => {
    if (!call.writableEnded) call.emit('error', toStatus(error, 'reflection', headerOf(call.metadata)));
  };
}

/** Authenticates the caller; the call ends when the caller has no access any more. */
async function authenticate(call: ReflectionCall, end: End, access: Parts['access']): Promise<void> {
  if (access === undefined) return;
  const identity = await callerOf(headerOf(call.metadata), access.verifyToken);
  if (call.cancelled) return;
  const remove = access.openStreams.add({ end }, identity);
  // Emitted at the end of every call.
  call.on('cancelled', remove);
}

function serveRequests(call: ReflectionCall, end: End, reflect: Reflector, parts: Parts): void {
  let requests = 0;
  const serve = (request: Buffer) => {
    if (call.writableEnded) return;
    requests += 1;
    if (requests > MAX_REQUESTS)
      return end(errors.overloaded(`${MAX_REQUESTS} reflection requests per call`, MAX_REQUESTS, 0));
    const response = reflect(request);
    if (response === undefined)
      return end(errors.fieldInvalid('request', 'cannot be decoded as a ServerReflectionRequest'));
    // A client that does not read is not read from either, so that its responses do not pile up here.
    if (call.write(asBuffer(response))) return;
    call.pause();
    call.once('drain', () => call.resume());
  };
  call.on('data', guard('reflection', parts, serve, end));
  call.on('end', () => {
    if (!call.writableEnded) call.end();
  });
}

function decode(bytes: Uint8Array): ServerReflectionRequest | undefined {
  try {
    return fromBinary(ServerReflectionRequestSchema, bytes);
  } catch {
    return undefined;
  }
}

function createReflection(services: readonly DescService[]): Reflector {
  const index = new DescriptorIndex();
  for (const service of services) index.addFile(service.file);
  const names = services.map(({ typeName }) => ({ name: typeName }));
  return (bytes) => {
    const request = decode(bytes);
    if (request === undefined) return undefined;
    const response = create(ServerReflectionResponseSchema, {
      validHost: request.host,
      originalRequest: request,
      messageResponse: respondTo(request.messageRequest, index, names),
    });
    return toBinary(ServerReflectionResponseSchema, response);
  };
}

function respondTo(
  request: ServerReflectionRequest['messageRequest'],
  index: DescriptorIndex,
  service: { name: string }[],
): Response {
  switch (request.case) {
    case 'listServices':
      return { case: 'listServicesResponse', value: { service } };
    case 'fileByFilename':
      return fileResponse(index.files.get(request.value));
    case 'fileContainingSymbol':
      return fileResponse(index.symbols.get(request.value));
    case 'fileContainingExtension': {
      const { containingType, extensionNumber } = request.value;
      return fileResponse(index.extensions.get(containingType)?.get(extensionNumber));
    }
    case 'allExtensionNumbersOfType': {
      const numbers = index.extensions.get(request.value);
      if (numbers === undefined && !index.symbols.has(request.value)) return fileResponse(undefined);
      const extensionNumber = [...(numbers?.keys() ?? [])];
      return {
        case: 'allExtensionNumbersResponse',
        value: { baseTypeName: request.value, extensionNumber },
      };
    }
    default:
      return {
        case: 'errorResponse',
        value: { errorCode: Code.UNIMPLEMENTED, errorMessage: 'unknown request' },
      };
  }
}

function fileResponse(file: DescFile | undefined): Response {
  if (file === undefined) {
    return { case: 'errorResponse', value: { errorCode: Code.NOT_FOUND, errorMessage: 'not found' } };
  }
  const fileDescriptorProto = [...withDependencies(file)].map(({ proto }) =>
    toBinary(FileDescriptorProtoSchema, proto),
  );
  return { case: 'fileDescriptorResponse', value: { fileDescriptorProto } };
}

function withDependencies(file: DescFile, seen = new Set<DescFile>()): Set<DescFile> {
  if (seen.has(file)) return seen;
  seen.add(file);
  for (const dependency of file.dependencies) withDependencies(dependency, seen);
  return seen;
}

/** In which file each symbol is, of the files given and all they import. */
class DescriptorIndex {
  readonly files = new Map<string, DescFile>();
  readonly symbols = new Map<string, DescFile>();
  readonly extensions = new Map<string, Map<number, DescFile>>();

  addFile(file: DescFile): void {
    if (this.files.has(file.proto.name)) return;
    this.files.set(file.proto.name, file);
    for (const dependency of file.dependencies) this.addFile(dependency);
    for (const message of file.messages) this.#addMessage(message);
    for (const desc of file.enums) this.#addEnum(desc);
    for (const extension of file.extensions) this.#addExtension(extension);
    for (const service of file.services) {
      this.symbols.set(service.typeName, file);
      for (const method of service.methods) this.symbols.set(`${service.typeName}.${method.name}`, file);
    }
  }

  #addMessage(message: DescMessage): void {
    this.symbols.set(message.typeName, message.file);
    for (const field of message.fields) this.symbols.set(`${message.typeName}.${field.name}`, message.file);
    for (const oneof of message.oneofs) this.symbols.set(`${message.typeName}.${oneof.name}`, message.file);
    for (const nested of message.nestedMessages) this.#addMessage(nested);
    for (const desc of message.nestedEnums) this.#addEnum(desc);
    for (const extension of message.nestedExtensions) this.#addExtension(extension);
  }

  #addEnum(desc: DescEnum): void {
    this.symbols.set(desc.typeName, desc.file);
    const scope = desc.typeName.slice(0, -desc.name.length);
    for (const value of desc.values) this.symbols.set(`${scope}${value.name}`, desc.file);
  }

  #addExtension(extension: DescExtension): void {
    this.symbols.set(extension.typeName, extension.file);
    const extendee = extension.extendee.typeName;
    const byNumber = this.extensions.get(extendee) ?? new Map<number, DescFile>();
    this.extensions.set(extendee, byNumber.set(extension.number, extension.file));
  }
}
