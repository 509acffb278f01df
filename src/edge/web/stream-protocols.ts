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
  parseTimeout as parseGrpcTimeout,
  parseContentType as parseGrpcType,
  setTrailerStatus,
} from '@connectrpc/connect/protocol-grpc';
import {
  parseContentType as parseGrpcWebType,
  trailerFlag,
  trailerSerialize,
} from '@connectrpc/connect/protocol-grpc-web';
import { envelope } from '../../rpc/frame.ts';
import type { HttpRequest, HttpResponse } from './dual-protocol-server.ts';

/** The differences between the three streaming protocols. The envelopes of messages are the same in all. */
export type StreamProtocol = {
  readonly codec: 'binary' | 'json';
  readonly contentType: string;
  /** Header with the compression of the request. */
  readonly encodingHeader: string;
  /** The client's timeout. Throws when the header is malformed. */
  readonly timeoutMs: (headers: HttpRequest['headers']) => number | undefined;
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
  timeoutMs: (headers) => timeoutOf(parseConnectTimeout, headers['connect-timeout-ms']),
  end(response, error) {
    const end = JSON.stringify(endStreamToJson(new Headers(), error, undefined));
    response.end(envelope(Buffer.from(end), endStreamFlag));
  },
};
const connectJson: StreamProtocol = { ...connectBinary, codec: 'json', contentType: contentTypeStreamJson };

const grpcWebBinary: StreamProtocol = {
  codec: 'binary',
  contentType: 'application/grpc-web+proto',
  encodingHeader: 'grpc-encoding',
  timeoutMs: (headers) => timeoutOf(parseGrpcTimeout, headers['grpc-timeout']),
  end(response, error) {
    const trailers = trailerSerialize(setTrailerStatus(new Headers(), error));
    response.end(envelope(Buffer.from(trailers), trailerFlag));
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
    response.addTrailers(Object.fromEntries(setTrailerStatus(new Headers(), error)));
    response.end();
  },
};
const grpcJson: StreamProtocol = { ...grpcBinary, codec: 'json', contentType: 'application/grpc+json' };

type Parse = (value: string | null, max: number) => { timeoutMs?: number; error?: ConnectError | undefined };

function timeoutOf(parse: Parse, value: string | string[] | undefined): number | undefined {
  if (typeof value !== 'string') return undefined;
  const { timeoutMs, error } = parse(value, Number.MAX_SAFE_INTEGER);
  if (error !== undefined) throw error;
  return timeoutMs;
}
