import { MethodOptions_IdempotencyLevel } from '@bufbuild/protobuf/wkt';
import type { Caller } from '../call.ts';
import { errors } from '../errors.ts';
import type { Interceptor } from '../interceptor.ts';
import type { PendingResponses } from '../pending-responses.ts';

/**
 * Rejects calls of a caller that leaves its responses pending. Of calls that run at the same time, reads are rejected also
 * before their response is encoded; a write that was committed is not.
 */
export function limitPending(pending: PendingResponses): Interceptor {
  const check = (caller: Caller) => {
    if (!pending.isFull(caller)) return;
    throw errors.overloaded('earlier responses are not read', pending.maxBytes, 1_000);
  };
  return (method, next) => {
    const isRead = method.idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS;
    return async (call) => {
      check(call.caller);
      const response = await next(call);
      if (isRead && method.methodKind === 'unary') check(call.caller);
      return response;
    };
  };
}
