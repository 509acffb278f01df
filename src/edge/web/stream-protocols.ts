import type { ConnectError } from '@connectrpc/connect';
import {
  contentTypeStreamJson,
  contentTypeStreamProto,
  endStreamFlag,
  endStreamToJson,
  parseTimeout as parseConnectTimeout,
  parseContentType as parseConnectType,
} from '@connectrpc/connect/protocol-connect';
import {
  grpcStatusOk,
  parseTimeout as parseGrpcTimeout,
  parseContentType as parseGrpcType,
  setTrailerStatus,
} from '@connectrpc/connect/protocol-grpc';
import {
  parseContentType as parseGrpcWebType,
  trailerFlag,
  trailerSerialize,
} from '@connectrpc/connect/protocol-grpc-web';
import { errors } from '../../rpc/errors.ts';
import { envelope } from '../../rpc/frame.ts';
import type { HttpRequest, HttpResponse } from './dual-protocol-server.ts';
import { type RequestProtocol, readEnvelope } from './request.ts';

/** The differences between the three streaming protocols. The envelopes of messages are the same in all. */
export type StreamProtocol = RequestProtocol & {
  readonly contentType: string;
  /** Header with the compression of envelopes. */
  readonly encodingHeader: string;
  /** Ends the response, with the error if given. */
  readonly end: (response: HttpResponse, error: ConnectError | undefined) => void;
};

/** The protocol of a request; undefined when it is none of the three. */
export function streamProtocolOf(contentType = ''): StreamProtocol | undefined {
  const connect = parseConnectType(contentType);
  if (connect?.stream === true) return connect.binary ? connectBinary : connectJson;
  const grpcWeb = parseGrpcWebType(contentType);
  if (grpcWeb?.text === false) return grpcWeb.binary ? grpcWebBinary : grpcWebJson;
  const grpc = parseGrpcType(contentType);
  if (grpc !== undefined) return grpc.binary ? grpcBinary : grpcJson;
  return undefined;
}

const connectBinary: StreamProtocol = {
  codec: 'binary',
  contentType: contentTypeStreamProto,
  encodingHeader: 'connect-content-encoding',
  timeoutMs: (headers) => timeoutIn(headers, 'connect-timeout-ms', parseConnectTimeout),
  read: (exchange, maxBytes) => readEnvelope(exchange, 'connect-content-encoding', maxBytes),
  end(response, error) {
    const end = JSON.stringify(endStreamToJson(new Headers(), error, undefined));
    response.end(envelope(Buffer.from(end), endStreamFlag));
  },
};
const connectJson: StreamProtocol = { ...connectBinary, codec: 'json', contentType: contentTypeStreamJson };

// Trailers of a success.
const grpcOk = { 'grpc-status': grpcStatusOk };
const grpcWebOk = webTrailers();

const grpcWebBinary: StreamProtocol = {
  codec: 'binary',
  contentType: 'application/grpc-web+proto',
  encodingHeader: 'grpc-encoding',
  timeoutMs: (headers) => timeoutIn(headers, 'grpc-timeout', parseGrpcTimeout),
  read: (exchange, maxBytes) => readEnvelope(exchange, 'grpc-encoding', maxBytes),
  end(response, error) {
    response.end(error === undefined ? grpcWebOk : webTrailers(error));
  },
};
const grpcWebJson: StreamProtocol = {
  ...grpcWebBinary,
  codec: 'json',
  contentType: 'application/grpc-web+json',
};

const grpcBinary: StreamProtocol = {
  ...grpcWebBinary,
  contentType: 'application/grpc+proto',
  end(response, error) {
    response.addTrailers(
      error === undefined ? grpcOk : Object.fromEntries(setTrailerStatus(new Headers(), error)),
    );
    response.end();
  },
};
const grpcJson: StreamProtocol = { ...grpcBinary, codec: 'json', contentType: 'application/grpc+json' };

function webTrailers(error?: ConnectError): Buffer {
  const trailers = trailerSerialize(setTrailerStatus(new Headers(), error));
  return envelope(Buffer.from(trailers), trailerFlag);
}

type Parse = (value: string | null, max: number) => { timeoutMs?: number; error?: ConnectError | undefined };

export function timeoutIn(headers: HttpRequest['headers'], name: string, parse: Parse): number | undefined {
  const value = headers[name];
  if (typeof value !== 'string') return undefined;
  const { timeoutMs, error } = parse(value, Number.MAX_SAFE_INTEGER);
  if (error !== undefined) throw errors.fieldInvalid(name, 'is not a timeout');
  return timeoutMs;
}
