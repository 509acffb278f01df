import type { ActiveCalls } from '../../rpc/active-calls.ts';
import type { CallContext } from '../../rpc/call-context.ts';
import type { Rpc } from '../../rpc/interceptor.ts';
import type { Exchange } from './exchange.ts';

/**
 * The call of a request of which only the headers are read. Serving it with the RPC's `admit` decides whether the body
 * is read at all: a body may be large, compressed or endless.
 */
export function openAdmission({ method }: Rpc, calls: ActiveCalls, { header }: Exchange): CallContext {
  return calls.open({
    edge: 'web',
    method,
    header,
    request() {
      throw new Error('the request is not read yet');
    },
    timeoutMs: undefined,
    sink: undefined,
  });
}
