import { Code, ConnectError } from '@connectrpc/connect';
import { RpcError } from '../../rpc/errors.ts';

/** An error as Connect sends it, with details. */
export function toConnectError(error: unknown): ConnectError {
  if (!(error instanceof RpcError))
    return new ConnectError('internal error', Code.Internal, undefined, [], error);
  const code: number = error.code;
  return new ConnectError(error.message, code, undefined, [...error.details]);
}
