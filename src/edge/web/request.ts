import { type DescMethod, fromBinary, fromJsonString, type Message } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import type { IncomingCall } from '../../rpc/call-context.ts';
import { errors, RpcError } from '../../rpc/errors.ts';
import { detailTypes } from '../../rpc/status.ts';
import { compressionOf, type Encoded } from './compression.ts';
import type { HttpRequest } from './dual-protocol-server.ts';
import type { Exchange } from './exchange.ts';

export type Codec = 'binary' | 'json';

/** How a protocol has the request of a call. */
export type RequestProtocol = {
  readonly codec: Codec;
  /** The client's timeout. Throws when the header is malformed. */
  readonly timeoutMs: (headers: HttpRequest['headers']) => number | undefined;
  readonly read: (exchange: Exchange, maxBytes: number) => Promise<Encoded>;
};

/** A request whose body has been read. */
export type Received = Pick<IncomingCall, 'request' | 'timeoutMs'> & {
  /** Its compression. */
  readonly encoding: string | undefined;
};

// The prefix of an envelope: a byte of flags and the length.
const PREFIX_BYTES = 5;

const utf8 = new TextDecoder();

/**
 * Reads a request. It is decoded when the call is served, which is also when an error of the client is thrown, so that
 * it is counted and logged; only an error that the protocols define is returned.
 */
export async function readRequest(
  { codec, timeoutMs, read }: RequestProtocol,
  exchange: Exchange,
  method: DescMethod,
  maxBytes: number,
): Promise<Received | ConnectError> {
  try {
    const encoded = await read(exchange, maxBytes);
    // Dropped when decoded, because the call of a stream keeps the function.
    let bytes: Uint8Array | undefined = await decompress(encoded, maxBytes);
    return {
      request() {
        if (bytes === undefined) throw new Error('the request was decoded before');
        const request = decode(method, codec, bytes);
        bytes = undefined;
        return request;
      },
      timeoutMs: timeoutMs(exchange.request.headers),
      encoding: encoded.encoding,
    };
  } catch (error) {
    if (error instanceof ConnectError) return error;
    return {
      request() {
        throw error instanceof RpcError ? error : errors.fieldInvalid('request', 'cannot be read');
      },
      timeoutMs: undefined,
      encoding: undefined,
    };
  }
}

/**
 * Reads a body; rejects with REQUEST_TOO_LARGE as soon as it is longer than `limit`, by its declared length if it has one.
 * Stays pending when the client resets the request or disconnects: it gets no response then.
 */
export function readBody(request: HttpRequest, limit: number, maxBytes: number): Promise<Buffer> {
  const declared = Number(request.headers['content-length'] ?? 0);
  return new Promise((resolve, reject) => {
    if (declared > limit) reject(errors.requestTooLarge(maxBytes));
    const chunks: Buffer[] = [];
    let length = 0;
    const collect = (chunk: Buffer) => {
      length += chunk.length;
      if (length <= limit) chunks.push(chunk);
      else reject(errors.requestTooLarge(maxBytes));
    };
    request.on('data', collect);
    request.once('end', () => {
      // A reset ends the body, too.
      if ('stream' in request && request.stream.closed) return;
      // It would keep the body for as long as the response is open.
      request.off('data', collect);
      const [first] = chunks;
      resolve(chunks.length === 1 && first !== undefined ? first : Buffer.concat(chunks));
    });
    request.on('error', ignore);
  });
}

function ignore(): void {}

/** Reads the only envelope of a body. */
export async function readEnvelope(
  { request, header }: Exchange,
  encodingHeader: string,
  maxBytes: number,
): Promise<Encoded> {
  const body = await readBody(request, maxBytes + PREFIX_BYTES, maxBytes);
  const end = body.length < PREFIX_BYTES ? PREFIX_BYTES : PREFIX_BYTES + body.readUInt32BE(1);
  // gRPC requires this code for another number of messages.
  if (body.length === 0 || body.length > end)
    throw new ConnectError('a request is exactly one message', Code.Unimplemented);
  if (body.length < end) throw errors.fieldInvalid('request', 'ends within its message');
  const isCompressed = (body.readUInt8(0) & 1) === 1;
  return {
    bytes: body.subarray(PREFIX_BYTES),
    encoding: isCompressed ? (header(encodingHeader) ?? '') : undefined,
  };
}

async function decompress({ bytes, encoding }: Encoded, maxBytes: number): Promise<Uint8Array> {
  if (encoding === undefined) return bytes;
  const compression = compressionOf(encoding);
  try {
    return await compression.decompress(bytes, maxBytes);
  } catch (error) {
    const isTooLarge = error instanceof ConnectError && error.code === Code.ResourceExhausted;
    throw isTooLarge
      ? errors.requestTooLarge(maxBytes)
      : errors.fieldInvalid('request', 'cannot be decompressed');
  }
}

function decode(method: DescMethod, codec: Codec, bytes: Uint8Array): Message {
  try {
    if (codec === 'binary') return fromBinary(method.input, bytes);
    const options = { ignoreUnknownFields: true, registry: detailTypes };
    return fromJsonString(method.input, utf8.decode(bytes), options);
  } catch {
    throw errors.fieldInvalid('request', `cannot be decoded as ${method.input.typeName}`);
  }
}
