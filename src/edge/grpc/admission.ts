import {
  type Metadata,
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  type ServerInterceptor,
} from '@grpc/grpc-js';
import type { ActiveCalls } from '../../rpc/active-calls.ts';
import { methodPath } from '../../rpc/call-context.ts';
import type { Rpc } from '../../rpc/interceptor.ts';
import { RequestBody } from './request-body.ts';
import { headerOf } from './service-definition.ts';
import { toStatus } from './status.ts';

// Health checks and reflection: a request has the name of a service, symbol or file.
const MAX_OTHER_BYTES = 32_768;

/**
 * Serves an RPC's `admit` when the headers of a call have arrived. grpc-js reads the body after that, so the body of a
 * rejected caller is neither buffered, decompressed nor decoded. The body of a request without a token is limited in size.
 */
export function admission(rpcs: readonly Rpc[], calls: ActiveCalls, bodyMs: number): ServerInterceptor {
  const byPath = new Map(rpcs.map((rpc) => [`/${methodPath(rpc.method)}`, rpc]));
  return ({ path, requestStream }, grpcCall) => {
    const rpc = byPath.get(path);
    const body = new RequestBody(grpcCall);
    // A client of reflection keeps its requests open.
    if (!requestStream) body.limitTime(bodyMs);
    if (rpc === undefined) body.limitSize(MAX_OTHER_BYTES);
    return new ServerInterceptingCall(grpcCall, {
      start: (next) =>
        next({
          onReceiveMetadata(metadata, proceed) {
            if (rpc === undefined) proceed(metadata);
            else admit(rpc, calls, grpcCall, metadata, proceed);
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

function admit(
  { method, admit }: Rpc,
  calls: ActiveCalls,
  grpcCall: ServerInterceptingCallInterface,
  metadata: Metadata,
  proceed: (metadata: Metadata) => void,
): void {
  const call = calls.open({
    edge: 'grpc',
    method,
    header: headerOf(metadata),
    request() {
      throw new Error('the request is not read yet');
    },
    timeoutMs: undefined,
    sink: undefined,
  });
  calls.serve(call, admit).then(
    () => proceed(metadata),
    (error) => grpcCall.sendStatus(toStatus(error, call.requestId, call.incoming.header)),
  );
}
