import { Code, ConnectError } from '@connectrpc/connect';
import type { IncomingCall } from '../../rpc/call-context.ts';
import { retryPushback, toDetails } from '../../rpc/error-details.ts';
import { RpcError } from '../../rpc/errors.ts';

/** An error as Connect sends it, with details. Texts are in English where the request's headers are not at hand. */
export function toConnectError(error: unknown, header?: IncomingCall['header']): ConnectError {
  if (!(error instanceof RpcError))
    return new ConnectError('internal error', Code.Internal, undefined, [], error);
  const code: number = error.code;
  return new ConnectError(
    error.message,
    code,
    retryPushback(error),
    toDetails(error, header?.('accept-language')),
  );
}
