import { fromTraceParent, type Tracer } from '../../telemetry/tracing.ts';
import { methodPath } from '../call-context.ts';
import type { Interceptor } from '../interceptor.ts';

/** Records each unary call as a span that continues the trace of its client. Streams last too long to be spans. */
export function trace(tracer: Tracer): Interceptor {
  return (method, next) => {
    if (method.methodKind !== 'unary') return next;
    const name = methodPath(method);
    return (call) =>
      tracer.span(
        {
          name,
          kind: 'server',
          parent: fromTraceParent(call.incoming.header('traceparent')),
          attributes: {
            'rpc.system': 'grpc',
            'discuss.request_id': call.requestId,
            'discuss.edge': call.edge,
          },
        },
        () => {
          call.traceId = tracer.current?.traceId;
          return next(call);
        },
      );
  };
}
