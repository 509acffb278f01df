import { getOption } from '@bufbuild/protobuf';
import { Access, access as accessOption } from '#gen/serp/discuss/v1/options_pb.ts';
import type { Caller } from '../call.ts';
import { errors } from '../errors.ts';
import type { Interceptor } from '../interceptor.ts';

/** Rejects callers that the method's `access` option does not permit. A method without the option fails the start. */
export const authorize: Interceptor = (method, next) => {
  const mayCall = rule(getOption(method, accessOption));
  if (mayCall === undefined) throw new Error(`${method.toString()} has no access option`);
  return async (call) => {
    if (!mayCall(call.caller)) throw errors.callerNotAllowed();
    return next(call);
  };
};

function rule(access: Access): ((caller: Caller) => boolean) | undefined {
  switch (access) {
    case Access.USER:
      // Also an operator with a user's ids, or a service that acts for a user.
      return (caller) => caller.userId > 0n && caller.tenantId > 0n;
    case Access.SERVICE:
      return (caller) => caller.kind === 'service';
    case Access.USER_OR_SERVICE:
      return (caller) => (caller.userId > 0n || caller.kind === 'service') && caller.tenantId > 0n;
    case Access.OPERATOR:
      return (caller) => caller.kind === 'operator';
    case Access.ANY:
      return () => true;
    default:
      return undefined;
  }
}
