import { getOption } from '@bufbuild/protobuf';
import { MethodOptions_IdempotencyLevel } from '@bufbuild/protobuf/wkt';
import { Access, access as accessOption } from '#gen/serp/discuss/v1/options_pb.ts';
import type { Caller } from '../call.ts';
import type { Interceptor } from '../interceptor.ts';
import type { PendingResponses } from '../pending-responses.ts';

/** The part of a call that its schedule needs. `ended`: why it ended early. */
export type ScheduledCall = {
  readonly caller: Caller;
  readonly signal: AbortSignal;
  readonly ended?: unknown;
};

/** Calls that run at a time. */
export type Slots = {
  /** Takes a slot at once, or when the returned promise resolves; it rejects when the call ends first. */
  acquire(call: ScheduledCall): Promise<void> | undefined;
  release(caller: Caller): void;
};

export type CallSchedule = {
  /** For calls that arrive at the same time. */
  readonly pacer: { enter(call: ScheduledCall): Promise<void> | undefined };
  readonly reads: Slots;
  /** Responses that their callers have not read, which slow the reads of these callers. */
  readonly pending: PendingResponses;
};

/** Lets a call enter before its body is read. */
export function pace({ pacer }: CallSchedule): Interceptor {
  return (_method, next) => async (call) => {
    const turn = pacer.enter(call);
    if (turn !== undefined) await turn;
    return next(call);
  };
}

/**
 * Lets unary reads take turns before their requests are decoded, because each occupies memory for its rows and its response.
 * Writes do not: those that wait for a locked channel would delay those of other channels. What every caller may call needs
 * no data, and works while the calls of others wait for it.
 */
export function schedule({ reads }: CallSchedule): Interceptor {
  return (method, next) => {
    const isRead = method.idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS;
    const isForAll = getOption(method, accessOption) === Access.ANY;
    if (method.methodKind !== 'unary' || !isRead || isForAll) return next;
    return async (call) => {
      const turn = reads.acquire(call);
      if (turn !== undefined) await turn;
      try {
        return await next(call);
      } finally {
        reads.release(call.caller);
      }
    };
  };
}
