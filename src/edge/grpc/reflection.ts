import type { DescService } from '@bufbuild/protobuf';
import type { Server, ServerDuplexStream } from '@grpc/grpc-js';
import type { Logger } from 'pino';
import { file_google_rpc_error_details } from '#gen/google/rpc/error_details_pb.ts';
import { file_google_rpc_status } from '#gen/google/rpc/status_pb.ts';
import { Health } from '#gen/grpc/health/v1/health_pb.ts';
import { ServerReflection } from '#gen/grpc/reflection/v1/reflection_pb.ts';
import { ServerReflection as ServerReflectionAlpha } from '#gen/grpc/reflection/v1alpha/reflection_pb.ts';
import { file_serp_discuss_v1_error } from '#gen/serp/discuss/v1/error_pb.ts';
import type { Api } from '../../rpc/api.ts';
import { errors, RpcError } from '../../rpc/errors.ts';
import { callerOf } from '../../rpc/interceptors/authenticate.ts';
import { guard } from '../../telemetry/guard.ts';
import type { Metrics } from '../../telemetry/metrics.ts';
import { createReflector, type Reflector, reflect } from './reflector.ts';
import { asBuffer, headerOf, serviceDefinition } from './service-definition.ts';
import { toStatus } from './status.ts';

type ReflectionCall = ServerDuplexStream<Buffer, Buffer>;

// Far above what clients ask for: grpcurl and buf need one request per file.
const MAX_REQUESTS = 200;

// Time for a client without a token.
const ANONYMOUS_MS = 10_000;

// Types of error details, which no method mentions.
const DETAILS = [file_google_rpc_error_details, file_google_rpc_status];

type Parts = {
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Undefined where reflection requires no token. */
  readonly access: Pick<Api, 'verifyToken' | 'openStreams'> | undefined;
};

/**
 * Server reflection, v1 and v1alpha, whose messages are the same on the wire. It serves the descriptors that the
 * service runs on: @grpc/reflection re-encodes them and loses our options and protovalidate's rules.
 * Without a token, unless it is configured as open, it serves the descriptors of health checks and reflection itself,
 * which need no token either, and of error details.
 */
export function addReflection(server: Server, services: readonly DescService[], parts: Parts): void {
  const publicServices = [Health, ServerReflection, ServerReflectionAlpha];
  const all = createReflector([...services, ...publicServices], [...DETAILS, file_serp_discuss_v1_error]);
  const anonymous = withoutToken(createReflector(publicServices, DETAILS));
  const serverReflectionInfo = (call: ReflectionCall) => {
    const end = endOf(call);
    if (parts.access !== undefined && headerOf(call.metadata)('authorization') === undefined) {
      limitTime(call, end);
      serveRequests(call, end, anonymous, parts);
    } else authenticate(call, end, parts.access).then(() => serveRequests(call, end, all, parts), end);
  };
  server.addService(serviceDefinition(ServerReflection), { serverReflectionInfo });
  server.addService(serviceDefinition(ServerReflectionAlpha), { serverReflectionInfo });
}

/** Requests for anything else, and for the list of services, need a token. */
function withoutToken(reflector: Reflector): Reflector {
  return (request) => {
    const response = reflector(request);
    const isPublic =
      response instanceof RpcError ||
      (response.case !== 'errorResponse' && response.case !== 'listServicesResponse');
    return isPublic ? response : errors.tokenInvalid();
  };
}

function limitTime(call: ReflectionCall, end: End): void {
  const timer = setTimeout(() => end(errors.tokenInvalid()), ANONYMOUS_MS);
  call.on('cancelled', () => clearTimeout(timer));
}

/** Ends the call with the first error that it is given. */
type End = (error: unknown) => void;

function endOf(call: ReflectionCall): End {
  return (error) => {
    if (!call.writableEnded) call.emit('error', toStatus(error, 'reflection', headerOf(call.metadata)));
  };
}

/** Authenticates the caller; the call ends when the caller has no access any more. */
async function authenticate(call: ReflectionCall, end: End, access: Parts['access']): Promise<void> {
  if (access === undefined) return;
  const identity = await callerOf(headerOf(call.metadata), access.verifyToken);
  if (call.cancelled) return;
  const remove = access.openStreams.add({ end }, identity);
  // Emitted at the end of every call.
  call.on('cancelled', remove);
}

function serveRequests(call: ReflectionCall, end: End, reflector: Reflector, parts: Parts): void {
  let requests = 0;
  const serve = (request: Buffer) => {
    if (call.writableEnded) return;
    requests += 1;
    if (requests > MAX_REQUESTS)
      return end(errors.overloaded(`${MAX_REQUESTS} reflection requests per call`, MAX_REQUESTS, 0));
    const response = reflect(request, reflector);
    if (response instanceof RpcError) return end(response);
    // A client that does not read is not read from either, so that its responses do not pile up here.
    if (call.write(asBuffer(response))) return;
    call.pause();
    call.once('drain', () => call.resume());
  };
  call.on('data', guard('reflection', parts, serve, end));
  call.on('end', () => {
    if (!call.writableEnded) call.end();
  });
}
