import { getOption, type JsonObject, toJson } from '@bufbuild/protobuf';
import { Access, access } from '#gen/serp/discuss/v1/options_pb.ts';
import type { Pool } from '../db/types.ts';
import type { Interceptor } from '../rpc/interceptor.ts';
import { appendAudit } from './sql.ts';

/** Records each call of an operator before it is made, so that none is missing: also one that fails or is cut off. */
export function auditCalls(pool: Pool): Interceptor {
  return (method, next) => {
    if (getOption(method, access) !== Access.OPERATOR) return next;
    const action = `${method.parent.name}/${method.name}`;
    return async (call) => {
      const tenantId: unknown = Reflect.get(call.request, 'tenantId');
      const details = toJson(method.input, call.request);
      await appendAudit(
        pool,
        call.caller,
        typeof tenantId === 'bigint' ? tenantId : 0n,
        action,
        isObject(details) ? details : {},
      );
      return next(call);
    };
  };
}

function isObject(json: unknown): json is JsonObject {
  return typeof json === 'object' && json !== null && !Array.isArray(json);
}
