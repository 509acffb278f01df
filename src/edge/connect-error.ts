import { Code, ConnectError } from '@connectrpc/connect';
import { Refusal } from './errors.ts';

/** A refusal as Connect sends it, details included. */
export function toConnectError(error: unknown): ConnectError {
  if (!(error instanceof Refusal))
    return new ConnectError('internal error', Code.Internal, undefined, [], error);
  const code: number = error.code;
  return new ConnectError(error.message, code, undefined, [...error.details]);
}
