import type { ServerHttp2Stream } from 'node:http2';
import { Duplex } from 'node:stream';
import { Client, credentials, Server, ServerCredentials, type ServerWritableStream } from '@grpc/grpc-js';

const PATH = '/Probe/Stream';
const PROBE_MS = 5_000;

/** The HTTP/2 stream of a call, for StreamSink: a private field of grpc-js, whose version is therefore pinned. */
export function http2StreamOf(grpcCall: object): ServerHttp2Stream {
  const stream: unknown = Reflect.get(Object(Reflect.get(grpcCall, 'call')), 'stream');
  if (!isHttp2Stream(stream))
    throw new Error('this version of grpc-js does not keep the HTTP/2 stream of a call in call.stream');
  return stream;
}

function isHttp2Stream(stream: unknown): stream is ServerHttp2Stream {
  return stream instanceof Duplex && 'session' in stream;
}

/** Calls a server of its own, so that a version of grpc-js without the field fails the start. */
export async function probeHttp2Stream(
  streamOf: (grpcCall: object) => unknown = http2StreamOf,
): Promise<void> {
  const server = new Server();
  const result = Promise.withResolvers<void>();
  const bytes = (message: Buffer) => message;
  const codec = {
    requestSerialize: bytes,
    requestDeserialize: bytes,
    responseSerialize: bytes,
    responseDeserialize: bytes,
  };
  const stream = (grpcCall: ServerWritableStream<Buffer, Buffer>) => {
    try {
      streamOf(grpcCall);
      result.resolve();
    } catch (error) {
      result.reject(error);
    }
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
