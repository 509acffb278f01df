import type { ConnectError } from '@connectrpc/connect';
import type { ActiveCalls } from '../../rpc/active-calls.ts';
import type { CallContext } from '../../rpc/call-context.ts';
import type { Rpc } from '../../rpc/interceptor.ts';
import { toConnectError } from './connect-error.ts';
import type { Exchange } from './exchange.ts';

/** Whether the body of a request is read: it is, unless there is a `rejection`. */
export type Admission = { readonly admitted: CallContext; readonly rejection: ConnectError | undefined };

/**
 * Decides with the RPC's `admit`, from the headers alone, whether the body of a request is read at all: it may be large,
 * compressed or endless.
 */
export async function admit(
  { method, admit: run }: Rpc,
  calls: ActiveCalls,
  exchange: Exchange,
): Promise<Admission> {
  const call = calls.open({
    edge: 'web',
    method,
    header: exchange.header,
    request() {
      throw new Error('the request is not read yet');
    },
    timeoutMs: undefined,
    sink: undefined,
  });
  const admitting = calls.serve(call, run).then(
    () => undefined,
    (error: unknown) => toConnectError(error, exchange.header),
  );
  exchange.identify(admitting.then(() => (call.isAuthenticated ? call.caller : undefined)));
  exchange.connection.admit(admitting.then((error) => error === undefined));
  const rejection = await admitting;
  if (rejection === undefined) exchange.admit(call);
  else call.requestRead();
  return { admitted: call, rejection };
}
