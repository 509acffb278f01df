import { EventEmitter } from 'node:events';
import type { Http2Server, ServerHttp2Stream } from 'node:http2';
import { Duplex } from 'node:stream';
import {
  Client,
  credentials,
  Server,
  ServerCredentials,
  ServerInterceptingCall,
  type ServerWritableStream,
} from '@grpc/grpc-js';

const PATH = '/Probe/Stream';
const PROBE_MS = 5_000;
// Of a decoder: the parts of the message that it reads, and the maximum of a message before it is decompressed.
const RECEIVED = 'readPartialMessage';
const MAX_ENCODED = 'maxReadMessageLength';
// Of a call: the maximum of a message after that.
const MAX_DECOMPRESSED = 'maxReceiveMessageSize';

/**
 * The HTTP/2 stream of a call, as handlers and as interceptors see it: it is a private field of grpc-js, whose version is
 * therefore pinned.
 */
export function http2StreamOf(grpcCall: object): ServerHttp2Stream {
  return innermost(grpcCall).stream;
}

/**
 * Drops the bytes of the last message that a call received, which its decoder keeps until the next message: those of a
 * single request until the end of the stream. To be called between two messages.
 */
export function forgetReceived(grpcCall: object): void {
  Reflect.set(innermost(grpcCall).decoder, RECEIVED, []);
}

/** Limits the messages of a call; the option of grpc-js applies to all methods of a server. */
export function limitMessages(grpcCall: object, maxBytes: number): void {
  const { call, decoder } = innermost(grpcCall);
  Reflect.set(call, MAX_DECOMPRESSED, maxBytes);
  Reflect.set(decoder, MAX_ENCODED, maxBytes);
}

function innermost(grpcCall: object): { call: object; stream: ServerHttp2Stream; decoder: object } {
  for (let call: unknown = grpcCall; typeof call === 'object' && call !== null; call = innerCall(call)) {
    const stream: unknown = Reflect.get(call, 'stream');
    const decoder: unknown = Reflect.get(call, 'decoder');
    if (isHttp2Stream(stream) && MAX_DECOMPRESSED in call && isDecoder(decoder))
      return { call, stream, decoder };
  }
  throw new Error('this version of grpc-js does not keep the HTTP/2 stream of a call where it is expected');
}

function isDecoder(decoder: unknown): decoder is object {
  return typeof decoder === 'object' && decoder !== null && RECEIVED in decoder && MAX_ENCODED in decoder;
}

// A handler's call has that of the interceptors, and this has the innermost, which has the stream.
function innerCall(call: object): unknown {
  return Reflect.get(call, 'call') ?? Reflect.get(call, 'nextCall');
}

function isHttp2Stream(stream: unknown): stream is ServerHttp2Stream {
  return stream instanceof Duplex && 'session' in stream;
}

/** Sets options of the HTTP/2 servers that a server creates from now on; they are a private field, too. */
export function setHttp2Options(server: Server, options: Record<string, number>): void {
  const common: unknown = Reflect.get(server, 'commonServerOptions');
  if (typeof common !== 'object' || common === null)
    throw new Error('this version of grpc-js does not keep the options of HTTP/2 where they are expected');
  Object.assign(common, options);
}

/** The only HTTP/2 server of a server, another private field. */
export function http2ServerOf(server: Server): Http2Server {
  const servers: unknown = Reflect.get(server, 'http2Servers');
  const [http2Server, other] = servers instanceof Map ? servers.keys() : [];
  if (!isHttp2Server(http2Server) || other !== undefined)
    throw new Error('this version of grpc-js does not keep the HTTP/2 server where it is expected');
  return http2Server;
}

function isHttp2Server(server: unknown): server is Http2Server {
  return server instanceof EventEmitter;
}

/** Calls a server of its own, so that a version of grpc-js without the fields fails the start. */
export async function probeHttp2Stream(
  streamOf: (grpcCall: object) => unknown = http2StreamOf,
): Promise<void> {
  const result = Promise.withResolvers<void>();
  const server = new Server({
    interceptors: [
      (_method, call) => {
        tryStreamOf(call);
        return new ServerInterceptingCall(call);
      },
    ],
  });
  const tryStreamOf = (grpcCall: object) => {
    try {
      streamOf(grpcCall);
    } catch (error) {
      result.reject(error);
    }
  };
  const bytes = (message: Buffer) => message;
  const codec = {
    requestSerialize: bytes,
    requestDeserialize: bytes,
    responseSerialize: bytes,
    responseDeserialize: bytes,
  };
  const stream = (grpcCall: ServerWritableStream<Buffer, Buffer>) => {
    tryStreamOf(grpcCall);
    result.resolve();
    grpcCall.end();
  };
  server.addService(
    { stream: { path: PATH, requestStream: false, responseStream: true, ...codec } },
    { stream },
  );
  const port = await bindLoopback(server);
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
  const options = { deadline: Date.now() + PROBE_MS };
  client
    .makeServerStreamRequest(PATH, bytes, bytes, Buffer.alloc(0), options)
    .on('error', result.reject)
    .resume();
  try {
    await result.promise;
  } finally {
    client.close();
    server.forceShutdown();
  }
}

function bindLoopback(server: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) =>
      error === null ? resolve(port) : reject(error),
    );
  });
}
