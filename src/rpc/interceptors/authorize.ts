import { getOption } from '@bufbuild/protobuf';
import { Access, access as accessOption } from '#gen/serp/discuss/v1/options_pb.ts';
import type { Caller } from '../call.ts';
import { errors } from '../errors.ts';
import type { Interceptor } from '../interceptor.ts';

/** Refuses callers the method's `access` option does not name; a method without one cannot be served at all. */
export const authorize: Interceptor = (method, next) => {
  const mayCall = rule(getOption(method, accessOption));
  if (mayCall === undefined) throw new Error(`${method.toString()} does not state who may call it`);
  return async (call) => {
    if (!mayCall(call.caller)) throw errors.callerNotAllowed();
    return next(call);
  };
};

function rule(access: Access): ((caller: Caller) => boolean) | undefined {
  switch (access) {
    case Access.USER:
      // An operator, or a service, that has a user's ids is that user here.
      return (caller) => caller.userId > 0n && caller.tenantId > 0n;
    case Access.SERVICE:
      return (caller) => caller.kind === 'service';
    case Access.USER_OR_SERVICE:
      return (caller) => (caller.userId > 0n || caller.kind === 'service') && caller.tenantId > 0n;
    case Access.OPERATOR:
      return (caller) => caller.kind === 'operator';
    default:
      return undefined;
  }
}
