import { readFileSync } from 'node:fs';
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
import { Code } from '#gen/google/rpc/code_pb.ts';
import {
  type ServerReflectionRequest,
  ServerReflectionRequestSchema,
  ServerReflectionResponseSchema,
} from '#gen/grpc/reflection/v1/reflection_pb.ts';
import { errors, RpcError } from '../../rpc/errors.ts';

export type Response = NonNullable<
  MessageInitShape<typeof ServerReflectionResponseSchema>['messageResponse']
>;

/** Responds to a request of reflection. */
export type Reflector = (request: ServerReflectionRequest['messageRequest']) => Response | RpcError;

// @bufbuild/protobuf has descriptor.proto without `go_package` and its other options.
const DESCRIPTOR_PROTO = 'google/protobuf/descriptor.proto';
const descriptorProto = readFileSync(
  new URL('../../../gen/google/protobuf/descriptor.binpb', import.meta.url),
);

/** Reflects the files of the services, further files, and all that these import. */
export function createReflector(services: readonly DescService[], files: readonly DescFile[]): Reflector {
  const index = new DescriptorIndex();
  for (const service of services) index.addFile(service.file);
  for (const file of files) index.addFile(file);
  const names = services.map(({ typeName }) => ({ name: typeName }));
  return (request) => respondTo(request, index, names);
}

/** The encoded response to an encoded request. */
export function reflect(bytes: Uint8Array, reflector: Reflector): Uint8Array | RpcError {
  const request = decode(bytes);
  if (request === undefined)
    return errors.fieldInvalid('request', 'cannot be decoded as a ServerReflectionRequest');
  const messageResponse = reflector(request.messageRequest);
  if (messageResponse instanceof RpcError) return messageResponse;
  const { host: validHost } = request;
  const response = { validHost, originalRequest: request, messageResponse };
  return toBinary(ServerReflectionResponseSchema, create(ServerReflectionResponseSchema, response));
}

function decode(bytes: Uint8Array): ServerReflectionRequest | undefined {
  try {
    return fromBinary(ServerReflectionRequestSchema, bytes);
  } catch {
    return undefined;
  }
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
    proto.name === DESCRIPTOR_PROTO ? descriptorProto : toBinary(FileDescriptorProtoSchema, proto),
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
