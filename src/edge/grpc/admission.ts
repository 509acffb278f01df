import { type Metadata, ServerInterceptingCall, type ServerInterceptor } from '@grpc/grpc-js';
import type { ActiveCalls } from '../../rpc/active-calls.ts';
import { type CallContext, methodPath } from '../../rpc/call-context.ts';
import type { Rpc } from '../../rpc/interceptor.ts';
import { http2StreamOf } from './http2-stream.ts';
import { RequestBody } from './request-body.ts';
import type { ResetStreams } from './reset-streams.ts';
import { headerOf } from './service-definition.ts';
import { toStatus } from './status.ts';

// Health checks and reflection: a request has the name of a service, symbol or file.
const MAX_OTHER_BYTES = 32_768;

/**
 * Serves an RPC's `admit` when the headers of a call have arrived. grpc-js reads the body after that, so the body of a
 * rejected caller is neither buffered, decompressed nor decoded. The body of a request without a token is limited in size.
 */
export function admission(
  rpcs: readonly Rpc[],
  calls: ActiveCalls,
  resets: ResetStreams,
  bodyMs: number,
): ServerInterceptor {
  const byPath = new Map(rpcs.map((rpc) => [`/${methodPath(rpc.method)}`, rpc]));
  return ({ path, requestStream }, grpcCall) => {
    const rpc = byPath.get(path);
    const stream = http2StreamOf(grpcCall);
    const body = new RequestBody(grpcCall, stream);
    // A client of reflection keeps its requests open.
    if (!requestStream) body.limitTime(bodyMs);
    if (rpc === undefined) body.limitSize(MAX_OTHER_BYTES);
    return new ServerInterceptingCall(grpcCall, {
      start: (next) =>
        next({
          onReceiveMetadata(metadata, proceed) {
            if (rpc === undefined) return proceed(metadata);
            const call = openAdmission(rpc, calls, metadata);
            const admitting = calls.serve(call, rpc.admit);
            const caller = () => (call.isAuthenticated ? call.caller : undefined);
            resets.identify(stream, admitting.then(caller, caller));
            admitting.then(
              () => proceed(metadata),
              (error) => grpcCall.sendStatus(toStatus(error, call.requestId, call.incoming.header)),
            );
          },
          onReceiveHalfClose(proceed) {
            body.end();
            proceed();
          },
          onCancel: () => body.close(),
        }),
    });
  };
}

function openAdmission({ method }: Rpc, calls: ActiveCalls, metadata: Metadata): CallContext {
  return calls.open({
    edge: 'grpc',
    method,
    header: headerOf(metadata),
    request() {
      throw new Error('the request is not read yet');
    },
    timeoutMs: undefined,
    sink: undefined,
  });
}
