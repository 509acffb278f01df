import type { EventEmitter } from 'node:events';
import { constants } from 'node:http2';
import { type DescMethod, fromBinary, type Message } from '@bufbuild/protobuf';
import {
  Metadata,
  Server,
  type ServerDuplexStream,
  type ServerOptions,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
} from '@grpc/grpc-js';
import type { Config } from '../../config.ts';
import { ActiveCalls } from '../../rpc/active-calls.ts';
import type { Edge, EdgeParts } from '../../rpc/api.ts';
import type { RequestStream, Sink } from '../../rpc/call.ts';
import type { CallContext, IncomingCall } from '../../rpc/call-context.ts';
import { encodeResponse } from '../../rpc/encoded-response.ts';
import { errors } from '../../rpc/errors.ts';
import type { Rpc } from '../../rpc/interceptor.ts';
import { callerOf } from '../../rpc/interceptors/authenticate.ts';
import type { PendingResponses } from '../../rpc/pending-responses.ts';
import { ConnectionAgeMonitor } from '../connection-age-monitor.ts';
import { UNKNOWN_STREAMS } from '../reset-limit.ts';
import { StreamSink } from '../sink.ts';
import { admission } from './admission.ts';
import { Health } from './health.ts';
import { forgetReceived, http2StreamOf, probeHttp2Stream } from './http2-stream.ts';
import { Listener } from './listener.ts';
import { addReflection } from './reflection.ts';
import { ResetStreams } from './reset-streams.ts';
import { asBuffer, headerOf, type RequestBytes, serviceDefinition } from './service-definition.ts';
import { toStatus } from './status.ts';

type GrpcStream = ServerWritableStream<RequestBytes, Buffer> | ServerDuplexStream<Buffer, Buffer>;
type GrpcCall = ServerUnaryCall<RequestBytes, Buffer> | GrpcStream;

type Parts = {
  readonly calls: ActiveCalls;
  readonly monitor: ConnectionAgeMonitor;
  readonly resets: ResetStreams;
  readonly pending: PendingResponses;
};

// Time for connections to flush after all calls have ended.
const closingMs = 1_000;

/** Opens the gRPC edge for other services: grpc-js, with health checking and server reflection. */
export async function openGrpcEdge({ api, config, log, metrics, now }: EdgeParts): Promise<Edge> {
  await probeHttp2Stream();
  const calls = new ActiveCalls(config.call, log, now);
  const resets = new ResetStreams(
    api.cancelledCalls,
    config.grpc.connectionAgeGraceMs,
    // Of a stream that is reset before its call has started.
    (header) => callerOf(header, api.verifyToken).catch(() => undefined),
  );
  const server = new Server({
    ...serverOptions(config),
    interceptors: [admission(api.rpcs, calls, resets, config.call)],
  });
  const monitor = new ConnectionAgeMonitor(config.grpc.connectionAgeGraceMs);
  const health = new Health(
    api.services.map(({ typeName }) => typeName),
    config.grpc.healthWatches,
  );
  for (const service of api.services) {
    const rpcs = api.rpcs.filter(({ method }) => method.parent === service);
    const parts = { calls, monitor, resets, pending: api.pending };
    const handlers = rpcs.map((rpc) => {
      const isUnary = rpc.method.methodKind === 'unary';
      return [rpc.method.localName, isUnary ? serveUnary(rpc, parts) : serveStream(rpc, parts)];
    });
    server.addService(serviceDefinition(service), Object.fromEntries(handlers));
  }
  health.addTo(server);
  const access = config.grpc.openReflection ? undefined : api;
  addReflection(server, api.services, { log, metrics, access });
  const listener = new Listener(server, resets, config, log);
  return {
    address: await listener.listen(config.grpc.address),
    announceDrain: () => health.drain(),
    async drain() {
      health.drain();
      await calls.drain();
      monitor.close();
      health.close();
      await listener.close(closingMs);
    },
    async close() {
      monitor.close();
      listener.destroy();
    },
  };
}

function serverOptions({ grpc }: Config): ServerOptions {
  return {
    ...(grpc.keepaliveMs > 0 && {
      'grpc.keepalive_time_ms': grpc.keepaliveMs,
      'grpc.keepalive_timeout_ms': grpc.keepaliveTimeoutMs,
    }),
    ...(grpc.connectionAgeMs > 0 && {
      'grpc.max_connection_age_ms': grpc.connectionAgeMs,
      'grpc.max_connection_age_grace_ms': grpc.connectionAgeGraceMs,
    }),
    'grpc.max_concurrent_streams': Math.min(UNKNOWN_STREAMS, grpc.maxConcurrentStreams),
    // It costs CPU on every call, and our metrics cover it.
    'grpc.enable_channelz': 0,
  };
}

function serveUnary({ method, run }: Rpc, { calls, resets, pending }: Parts) {
  return (grpcCall: ServerUnaryCall<RequestBytes, Buffer>, respond: sendUnaryData<Buffer>) => {
    const stream = http2StreamOf(grpcCall);
    const call = calls.open({
      ...toIncomingCall(grpcCall, method, undefined),
      admitted: resets.admittedOn(stream),
    });
    grpcCall.on('cancelled', () => call.cancel());
    resets.serve(stream);
    calls
      .serve(call, run)
      .then((message) => {
        if (grpcCall.cancelled) return;
        const bytes = asBuffer(encodeResponse(method, message));
        addPending(grpcCall, call, bytes.length, pending);
        grpcCall.sendMetadata(headersOf(call.requestId));
        respond(null, bytes);
      })
      .catch((error) => respond(toStatus(error, call.requestId, call.incoming.header)));
  };
}

function serveStream({ method, run }: Rpc, { calls, monitor, resets, pending }: Parts) {
  return (grpcCall: GrpcStream) => {
    const output = http2StreamOf(grpcCall);
    forgetReceived(grpcCall);
    const sink = new StreamSink('binary', () => {
      grpcCall.sendMetadata(headersOf(call.requestId));
      return output;
    });
    const call = calls.open(toIncomingCall(grpcCall, method, sink));
    grpcCall.on('cancelled', () => call.cancel());
    resets.serve(output);
    monitor.watch(call, output.session ?? { closed: true });
    calls
      .serve(call, run)
      .finally(() => {
        monitor.unwatch(call);
        sink.end();
      })
      .then(
        () => grpcCall.end(),
        (error) => grpcCall.emit('error', toStatus(error, call.requestId, call.incoming.header)),
      )
      .then(() => addPending(grpcCall, call, output.writableLength, pending));
  };
}

/** Counts bytes as unread until the call's stream is closed, and cuts it off when that takes too long. */
function addPending(
  grpcCall: EventEmitter & Pick<GrpcCall, 'cancelled'>,
  { caller }: CallContext,
  bytes: number,
  pending: PendingResponses,
): void {
  if (grpcCall.cancelled) return;
  const read = pending.add(caller, bytes, () => http2StreamOf(grpcCall).close(constants.NGHTTP2_CANCEL));
  // Emitted at the end of every call.
  grpcCall.on('cancelled', read);
}

function toIncomingCall(grpcCall: GrpcCall, method: DescMethod, sink: Sink | undefined): IncomingCall {
  const deadline = Number(grpcCall.getDeadline());
  return {
    edge: 'grpc',
    method,
    header: headerOf(grpcCall.metadata),
    request() {
      if (!('request' in grpcCall)) throw new Error('a stream of requests has no single one');
      return decode(method, grpcCall.request.take());
    },
    timeoutMs: Number.isFinite(deadline) ? deadline - Date.now() : undefined,
    sink,
    requests: 'request' in grpcCall ? undefined : toRequestStream(grpcCall),
  };
}

function toRequestStream(grpcCall: ServerDuplexStream<Buffer, Buffer>): RequestStream {
  return {
    read: (onRequest, onEnd) => grpcCall.on('data', onRequest).on('end', onEnd),
    pause: () => grpcCall.pause(),
    resume: () => grpcCall.resume(),
  };
}

function decode(method: DescMethod, bytes: Buffer): Message {
  try {
    return fromBinary(method.input, bytes);
  } catch {
    throw errors.fieldInvalid('request', `cannot be decoded as ${method.input.typeName}`);
  }
}

function headersOf(requestId: string): Metadata {
  const headers = new Metadata();
  headers.set('x-request-id', requestId);
  return headers;
}
