import { randomUUID } from 'node:crypto';
import { create } from '@bufbuild/protobuf';
import type { Transport } from '@connectrpc/connect';

/** A transport that gives each request without a request id another one, as clients do for requests that are no retries. */
export function withRequestIds(transport: Transport): Transport {
  return {
    unary(method, signal, timeoutMs, header, input, contextValues) {
      const request = create(method.input, input);
      if ('requestId' in request && request.requestId === '')
        Object.assign(request, { requestId: randomUUID() });
      return transport.unary(method, signal, timeoutMs, header, request, contextValues);
    },
    stream: transport.stream,
  };
}
