import { Code, ConnectError } from '@connectrpc/connect';
import type { Compression } from '@connectrpc/connect/protocol';
import { compressionBrotli, compressionGzip } from '@connectrpc/connect-node';
import { errors } from '../../rpc/errors.ts';
import { toConnectError } from './connect-error.ts';
import type { HttpRequest } from './dual-protocol-server.ts';

/** Bytes of a body with a message of `maxBytes`: in gRPC and gRPC-Web it has a prefix. */
export function maxBodyBytes(contentType: string | undefined, maxBytes: number): number {
  return contentType?.startsWith('application/grpc') ? maxBytes + 5 : maxBytes;
}

/** Reads a body whose length is not known. Connect's own limit is an error without our reason. */
export async function* readBody(request: HttpRequest, maxBytes: number): AsyncGenerator<Uint8Array> {
  const max = maxBodyBytes(request.headers['content-type'], maxBytes);
  let length = 0;
  // Destroying the request would destroy its connection before the client has the error.
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    length += chunk.length;
    if (length > max) break;
    yield chunk;
  }
  if (length <= max) return;
  request.resume();
  throw toConnectError(errors.requestTooLarge(maxBytes), () => request.headers['accept-language']);
}

/** The supported compressions, with a maximum size of decompressed requests. */
export function compressions(maxBytes: number): Compression[] {
  return [compressionGzip, compressionBrotli].map((compression) => ({
    ...compression,
    async decompress(bytes) {
      try {
        return await compression.decompress(bytes, maxBytes);
      } catch (error) {
        const isTooLarge = error instanceof ConnectError && error.code === Code.ResourceExhausted;
        throw isTooLarge ? toConnectError(errors.requestTooLarge(maxBytes)) : error;
      }
    },
  }));
}
