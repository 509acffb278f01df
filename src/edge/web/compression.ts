import { Code, ConnectError } from '@connectrpc/connect';
import { type Compression, compressionNegotiate } from '@connectrpc/connect/protocol';
import { compressionBrotli, compressionGzip } from '@connectrpc/connect-node';

/** An encoded message and the name of its compression, if it has one. */
export type Encoded = { readonly bytes: Uint8Array; readonly encoding: string | undefined };

const compressions = [compressionGzip, compressionBrotli];

// Compressing less costs more than it saves.
const MIN_BYTES = 1_024;

/** Throws UNIMPLEMENTED, as the protocols require, when the compression is not supported. */
export function compressionOf(name: string): Compression {
  const found = compressions.find((compression) => compression.name === name);
  if (found !== undefined) return found;
  const supported = compressions.map((compression) => compression.name).join(',');
  const message = `unknown compression "${name}": supported encodings are ${supported}`;
  throw new ConnectError(message, Code.Unimplemented);
}

/** Compresses a message as the client accepts it, or, if it does not state that, as its request was compressed. */
export async function compress(
  message: Uint8Array,
  accepted: string | undefined,
  requestEncoding: string | undefined,
): Promise<Encoded> {
  const bytes = asBuffer(message);
  if (bytes.length < MIN_BYTES) return { bytes, encoding: undefined };
  const { response } = compressionNegotiate(compressions, requestEncoding ?? null, accepted ?? null, '');
  if (response === null) return { bytes, encoding: undefined };
  return { bytes: asBuffer(await response.compress(bytes)), encoding: response.name };
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
