import { Code, ConnectError } from '@connectrpc/connect';
import { RpcError } from '../../rpc/errors.ts';

/** A refusal as Connect sends it, details included. */
export function toConnectError(error: unknown): ConnectError {
  if (!(error instanceof RpcError))
    return new ConnectError('internal error', Code.Internal, undefined, [], error);
  const code: number = error.code;
  return new ConnectError(error.message, code, undefined, [...error.details]);
}
