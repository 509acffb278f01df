import type { CallContext } from '../call-context.ts';
import { errors, type Metadata, RpcError } from '../errors.ts';
import type { Interceptor } from '../interceptor.ts';

/**
 * Turns every error into an RpcError. A call that is ended early, by its client, its deadline or a drain, fails at
 * once, even while its handler still runs.
 */
export const mapErrors: Interceptor = (_method, next) => async (call) => {
  try {
    return await call.untilEnded(next);
  } catch (error) {
    const rpcError = call.ended ?? toRpcError(error) ?? unexpected(call, error);
    rpcError.complete(metadataOf(call));
    throw rpcError;
  }
};

function unexpected(call: CallContext, error: unknown): RpcError {
  call.log.error({ err: error }, 'unexpected error');
  return errors.internal(call.requestId, error);
}

/** What a call contributes to the metadata of its error: the ids of its request, so that no handler repeats them. */
function metadataOf({ caller, requestId, timeoutMs, decoded }: CallContext): Metadata {
  const request: object = decoded ?? {};
  return {
    call_id: requestId,
    timeout_ms: timeoutMs === undefined ? undefined : Math.round(timeoutMs),
    caller: caller.kind,
    channel_id: idOf(request, 'channelId'),
    attachment_id: idOf(request, 'attachmentId'),
    message_id:
      idOf(request, 'messageId') ?? idOf(request, 'rootMessageId') ?? idOf(request, 'replyToMessageId'),
    user_id: idOf(request, 'userId') ?? caller.userId,
    request_id: stringOf(request, 'requestId'),
  };
}

function idOf(request: object, name: string): bigint | undefined {
  const id: unknown = Reflect.get(request, name);
  return typeof id === 'bigint' && id > 0n ? id : undefined;
}

/**
 * The RpcError for an error with a known cause. `undefined`: a defect, which clients see as a bare INTERNAL; the
 * caller of this function logs it.
 */
export function toRpcError(error: unknown): RpcError | undefined {
  if (error instanceof RpcError) return error;
  if (!(error instanceof Error)) return undefined;
  if (error.name === 'AbortError') return errors.cancelled();
  if (error.name === 'TimeoutError') return errors.deadlineExceeded(error);
  const code = stringOf(error, 'code');
  if (code === undefined) return undefined;
  if (unreachable.has(code)) return errors.databaseUnavailable(error);
  return code.length === 5 ? fromSqlState(code, stringOf(error, 'constraint_name'), error) : undefined;
}

// Codes of postgres.js and of its sockets.
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
    case '22021': // invalid byte sequence in a text
    case '22P05': // U+0000 in a text
      return errors.fieldInvalid('request', 'contains a character that cannot be stored');
    case '23503':
      return fromForeignKey(constraint);
    case '23505': // concurrent calls created the same row; a retry finds it
    case '40001':
    case '40P01': // deadlock
    case '55P03': // lock not available
      return errors.conflict(error);
    case '25P04': // transaction_timeout
    case '57014': // statement_timeout, or cancelled because the deadline had passed
      return errors.deadlineExceeded(error);
    case '25006': // connected to a standby
    case '25P03': // idle in a transaction for too long
    case '53100': // disk full
    case '53200': // out of memory
    case '53300': // too many connections
    case '57P01': // shutting down
    case '57P02': // crashed
    case '57P03': // starting
    case '57P05': // idle connection closed
      return errors.databaseUnavailable(error);
    default:
      return state.startsWith('08') ? errors.databaseUnavailable(error) : undefined;
  }
}

// The referenced row was deleted after the call had checked it.
function fromForeignKey(constraint = ''): RpcError | undefined {
  if (constraint.endsWith('channel_id_fkey')) return errors.channelNotFound();
  if (/(message|parent)_id_fkey\d*$/.test(constraint)) return errors.messageNotFound();
  return undefined;
}

function stringOf(error: object, name: string): string | undefined {
  const value: unknown = Reflect.get(error, name);
  return typeof value === 'string' ? value : undefined;
}
