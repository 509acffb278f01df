import { errors, RpcError } from '../errors.ts';
import type { Interceptor } from '../interceptor.ts';

/**
 * Lets nothing but refusals out. A call that is ended early, by its client, its deadline or the server's own
 * end, is answered at once, even while its handler goes on.
 */
export const mapErrors: Interceptor = (_method, next) => async (call) => {
  try {
    return await call.untilEnded(next);
  } catch (error) {
    if (call.ended !== undefined) throw call.ended;
    const refusal = toRpcError(error);
    if (refusal !== undefined) throw refusal;
    call.log.error({ err: error }, 'unexpected error');
    throw errors.internal(call.requestId, error);
  }
};

/**
 * What the client is told of an error that is not a refusal already. `undefined`: nothing but that there is
 * a defect; the caller of this function logs the error.
 */
export function toRpcError(error: unknown): RpcError | undefined {
  if (error instanceof RpcError) return error;
  if (!(error instanceof Error)) return undefined;
  if (error.name === 'AbortError') return errors.cancelled();
  if (error.name === 'TimeoutError') return errors.deadlinePassed(error);
  const code = stringOf(error, 'code');
  if (code === undefined) return undefined;
  if (unreachable.has(code)) return errors.databaseUnavailable(error);
  return code.length === 5 ? fromSqlState(code, stringOf(error, 'constraint_name'), error) : undefined;
}

// From postgres.js and from the sockets below it.
const unreachable = new Set([
  'CONNECTION_CLOSED',
  'CONNECTION_DESTROYED',
  'CONNECTION_ENDED',
  'CONNECT_TIMEOUT',
  'EAI_AGAIN',
  'ECONNREFUSED',
  'ECONNRESET',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EPIPE',
  'ETIMEDOUT',
]);

/** https://www.postgresql.org/docs/current/errcodes-appendix.html */
function fromSqlState(state: string, constraint: string | undefined, error: Error): RpcError | undefined {
  switch (state) {
    case '22021': // a text holds bytes that are no text
    case '22P05': // a text holds U+0000
      return errors.fieldInvalid('request', 'a text holds a character that cannot be stored');
    case '23503':
      return fromForeignKey(constraint);
    case '23505': // two calls created the same thing; the one repeated finds it
    case '40001':
    case '40P01': // deadlock
    case '55P03': // a lock was not to be had
      return errors.conflict(error);
    case '25P04': // transaction_timeout
    case '57014': // statement_timeout, or cancelled because the deadline had passed
      return errors.deadlinePassed(error);
    case '25006': // a standby took the connection
    case '25P03': // this process stood still in a transaction
    case '53100': // disk full
    case '53200': // out of memory
    case '53300': // out of connections
    case '57P01': // shutting down
    case '57P02': // crashed
    case '57P03': // starting
    case '57P05': // idle connection closed
      return errors.databaseUnavailable(error);
    default:
      return state.startsWith('08') ? errors.databaseUnavailable(error) : undefined;
  }
}

// What a row refers to was there when the call looked and is gone now.
function fromForeignKey(constraint = ''): RpcError | undefined {
  if (constraint.endsWith('channel_id_fkey')) return errors.channelNotFound();
  if (/(message|parent)_id_fkey\d*$/.test(constraint)) return errors.messageNotFound();
  return undefined;
}

function stringOf(error: Error, name: string): string | undefined {
  const value: unknown = Reflect.get(error, name);
  return typeof value === 'string' ? value : undefined;
}
