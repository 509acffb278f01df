import { type Metadata, ServerInterceptingCall, type ServerInterceptor } from '@grpc/grpc-js';
import type { Config } from '../../config.ts';
import type { ActiveCalls } from '../../rpc/active-calls.ts';
import { type CallContext, methodPath } from '../../rpc/call-context.ts';
import { errors } from '../../rpc/errors.ts';
import type { Rpc } from '../../rpc/interceptor.ts';
import { maxRequestBytes } from '../../rpc/request-size.ts';
import { http2StreamOf } from './http2-stream.ts';
import { RequestBody } from './request-body.ts';
import type { ResetStreams } from './reset-streams.ts';
import { headerOf } from './service-definition.ts';
import { toStatus } from './status.ts';

// Health checks and reflection: a request has the name of a service, symbol or file.
const MAX_OTHER_BYTES = 32_768;

/**
 * Serves an RPC's `admit` when the headers of a call have arrived. grpc-js reads the body after that, so the body of a
 * rejected caller is neither buffered, decompressed nor decoded. The messages of others are limited by their method. The
 * body of a request without a token is limited in size, too.
 */
export function admission(
  rpcs: readonly Rpc[],
  calls: ActiveCalls,
  resets: ResetStreams,
  { maxDeadlineMs, maxMessageBytes }: Config['call'],
): ServerInterceptor {
  const byPath = new Map(
    rpcs.map((rpc) => {
      const maxBytes = maxRequestBytes(rpc.method, maxMessageBytes);
      return [`/${methodPath(rpc.method)}`, { rpc, maxBytes }];
    }),
  );
  return ({ path, requestStream }, grpcCall) => {
    const { rpc, maxBytes = 0 } = byPath.get(path) ?? {};
    const stream = http2StreamOf(grpcCall);
    const body = new RequestBody(grpcCall, stream);
    // A client of reflection keeps its requests open.
    if (!requestStream) body.limitTime(maxDeadlineMs);
    if (rpc === undefined) limitOther(body);
    return new ServerInterceptingCall(grpcCall, {
      start: (next) =>
        next({
          onReceiveMetadata(metadata, proceed) {
            if (rpc === undefined) return proceed(metadata);
            limitRequest(body, rpc, calls, metadata, maxBytes);
            const call = openCall(rpc, calls, metadata, () => {
              throw new Error('the request is not read yet');
            });
            const admitting = calls.serve(call, rpc.admit);
            resets.admit(stream, call, admitting);
            admitting.then(
              () => {
                if (requestStream) call.requestRead();
                else body.onceRead(call.requestRead);
                proceed(metadata);
              },
              (error) => {
                call.requestRead();
                grpcCall.sendStatus(toStatus(error, call.requestId, call.incoming.header));
              },
            );
          },
          onReceiveHalfClose(proceed) {
            body.end();
            proceed();
          },
          onCancel: () => body.close(resets),
        }),
    });
  };
}

function limitOther(body: RequestBody): void {
  body.limitSize(MAX_OTHER_BYTES);
  body.limitMessages(MAX_OTHER_BYTES, (sendStatus) =>
    sendStatus(toStatus(errors.requestTooLarge(MAX_OTHER_BYTES), 'request')),
  );
}

/** Serves the RPC with an error instead of a request that is too large, so that it is counted and logged. */
function limitRequest(
  body: RequestBody,
  rpc: Rpc,
  calls: ActiveCalls,
  metadata: Metadata,
  maxBytes: number,
): void {
  const throwTooLarge = () => {
    throw errors.requestTooLarge(maxBytes);
  };
  if (rpc.method.methodKind === 'bidi_streaming') {
    // A request that is too large has an outcome of its own, unless it is much too large.
    body.limitMessages(4 * maxBytes, (sendStatus) =>
      sendStatus(toStatus(errors.requestTooLarge(maxBytes), 'request', headerOf(metadata))),
    );
    return;
  }
  body.limitMessages(maxBytes, (sendStatus) => {
    const call = openCall(rpc, calls, metadata, throwTooLarge);
    calls
      .serve(call, rpc.run)
      .catch((error) => sendStatus(toStatus(error, call.requestId, call.incoming.header)));
  });
}

function openCall(
  { method }: Rpc,
  calls: ActiveCalls,
  metadata: Metadata,
  request: CallContext['incoming']['request'],
): CallContext {
  return calls.open({
    edge: 'grpc',
    method,
    header: headerOf(metadata),
    request,
    timeoutMs: undefined,
    sink: undefined,
  });
}
