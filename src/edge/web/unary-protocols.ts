import type { DescMethod } from '@bufbuild/protobuf';
import { base64Decode } from '@bufbuild/protobuf/wire';
import { MethodOptions_IdempotencyLevel } from '@bufbuild/protobuf/wkt';
import type { ConnectError } from '@connectrpc/connect';
import {
  codeToHttpStatus,
  errorToJsonBytes,
  parseTimeout as parseConnectTimeout,
  parseContentType as parseConnectType,
} from '@connectrpc/connect/protocol-connect';
import { errors } from '../../rpc/errors.ts';
import { envelope } from '../../rpc/frame.ts';
import { detailTypes } from '../../rpc/status.ts';
import type { Encoded } from './compression.ts';
import type { Exchange } from './exchange.ts';
import { type RequestProtocol, readBody } from './request.ts';
import { type StreamProtocol, streamProtocolOf, timeoutIn } from './stream-protocols.ts';

/** The differences between the protocols of unary calls. */
export type UnaryProtocol = RequestProtocol & {
  /** Header with the compressions that the client accepts. */
  readonly acceptHeader: string;
  readonly send: (exchange: Exchange, requestId: string, outcome: Encoded | ConnectError) => void;
};

/** The protocol of a request, or the HTTP status that rejects it. */
export function unaryProtocolOf(
  { request, header }: Exchange,
  method: DescMethod,
): UnaryProtocol | 405 | 415 {
  if (request.method === 'GET') {
    if (method.idempotency !== MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS) return 405;
    const encoding = queryOf(request.url).get('encoding');
    if (encoding === 'proto') return connectGetBinary;
    return encoding === 'json' ? connectGetJson : 415;
  }
  if (request.method !== 'POST') return 405;
  const contentType = header('content-type') ?? '';
  const connect = parseConnectType(contentType);
  if (connect !== undefined) {
    if (connect.stream) return 415;
    return connect.binary ? connectBinary : connectJson;
  }
  const protocol = streamProtocolOf(contentType);
  return protocol === undefined ? 415 : enveloped(protocol);
}

const connectBinary: UnaryProtocol = {
  codec: 'binary',
  acceptHeader: 'accept-encoding',
  timeoutMs: (headers) => timeoutIn(headers, 'connect-timeout-ms', parseConnectTimeout),
  async read({ request, header }, maxBytes) {
    const bytes = await readBody(request, maxBytes, maxBytes);
    return { bytes, encoding: compressionIn(header('content-encoding')) };
  },
  send: (exchange, requestId, outcome) => sendConnect(exchange, 'application/proto', requestId, outcome),
};
const connectJson: UnaryProtocol = {
  ...connectBinary,
  codec: 'json',
  send: (exchange, requestId, outcome) => sendConnect(exchange, 'application/json', requestId, outcome),
};
const connectGetBinary: UnaryProtocol = { ...connectBinary, read: readQuery };
const connectGetJson: UnaryProtocol = { ...connectJson, read: readQuery };

/** gRPC and gRPC-Web: a unary call is a stream of one message. */
function enveloped({
  codec,
  contentType,
  encodingHeader,
  timeoutMs,
  read,
  end,
}: StreamProtocol): UnaryProtocol {
  return {
    codec,
    acceptHeader: 'grpc-accept-encoding',
    timeoutMs,
    read,
    send(exchange, requestId, outcome) {
      const { response, output } = exchange;
      if (!('bytes' in outcome)) {
        exchange.sendHeaders(contentType, requestId);
        end(response, outcome);
        return;
      }
      const { bytes, encoding } = outcome;
      if (encoding !== undefined) response.setHeader(encodingHeader, encoding);
      exchange.startResponse(contentType, requestId);
      output.write(envelope(bytes, encoding === undefined ? 0 : 1));
      end(response, undefined);
    },
  };
}

function sendConnect(
  { response }: Exchange,
  contentType: string,
  requestId: string,
  outcome: Encoded | ConnectError,
): void {
  const isMessage = 'bytes' in outcome;
  const body = isMessage ? outcome.bytes : errorToJsonBytes(outcome, { registry: detailTypes });
  response.statusCode = isMessage ? 200 : codeToHttpStatus(outcome.code);
  response.setHeader('content-type', isMessage ? contentType : 'application/json');
  response.setHeader('content-length', body.length);
  response.setHeader('x-request-id', requestId);
  if (isMessage && outcome.encoding !== undefined) response.setHeader('content-encoding', outcome.encoding);
  response.end(body);
}

async function readQuery({ request }: Exchange, maxBytes: number): Promise<Encoded> {
  const query = queryOf(request.url);
  const message = query.get('message') ?? '';
  const bytes = query.get('base64') === '1' ? fromBase64(message) : Buffer.from(message);
  if (bytes.length > maxBytes) throw errors.requestTooLarge(maxBytes);
  return { bytes, encoding: compressionIn(query.get('compression') ?? undefined) };
}

function queryOf(url = ''): URLSearchParams {
  const from = url.indexOf('?');
  return new URLSearchParams(from < 0 ? '' : url.slice(from));
}

function fromBase64(text: string): Uint8Array {
  try {
    return base64Decode(text);
  } catch {
    throw errors.fieldInvalid('request', 'is not valid base64');
  }
}

function compressionIn(encoding: string | undefined): string | undefined {
  return encoding === 'identity' || encoding === '' ? undefined : encoding;
}
