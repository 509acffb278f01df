import type { DescMethod, DescService } from '@bufbuild/protobuf';
import type { Metadata, ServiceDefinition, UntypedServiceImplementation } from '@grpc/grpc-js';

/** The bytes of a request. grpc-js keeps this object for as long as a stream is open, so they are taken out of it. */
export class RequestBytes {
  #bytes: Buffer | undefined;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** Returns the bytes, once. */
  take(): Buffer {
    const bytes = this.#bytes;
    if (bytes === undefined) throw new Error('the request was taken before');
    this.#bytes = undefined;
    return bytes;
  }
}

/** A service for grpc-js whose messages stay bytes: handlers decode and encode them. */
export function serviceDefinition(service: DescService): ServiceDefinition<UntypedServiceImplementation> {
  return Object.fromEntries(service.methods.map((method) => [method.localName, methodDefinition(method)]));
}

/** The first text value of each request header. */
export function headerOf(metadata: Metadata): (name: string) => string | undefined {
  return (name) => {
    const value = metadata.get(name)[0];
    return typeof value === 'string' ? value : undefined;
  };
}

function methodDefinition(method: DescMethod) {
  const requestStream = method.methodKind === 'client_streaming' || method.methodKind === 'bidi_streaming';
  return {
    path: `/${method.parent.typeName}/${method.name}`,
    requestStream,
    responseStream: method.methodKind === 'server_streaming' || method.methodKind === 'bidi_streaming',
    requestSerialize: same,
    requestDeserialize: requestStream ? same : (bytes: Buffer) => new RequestBytes(bytes),
    responseSerialize: same,
    responseDeserialize: same,
  };
}

function same(bytes: Buffer): Buffer {
  return bytes;
}

/** The same bytes as a Buffer, as grpc-js requires. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
