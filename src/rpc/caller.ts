import { type DescMethod, getOption } from '@bufbuild/protobuf';
import { Access, access } from '#gen/serp/discuss/v1/options_pb.ts';
import type { Caller } from './call.ts';
import { errors } from './errors.ts';

/** A service of several tenants must name one of them in x-tenant-id. */
export function requireTenant({ tenantId }: Caller): void {
  if (tenantId === 0n) throw errors.fieldInvalid('x-tenant-id', 'is required');
}

/**
 * A service without a user manages every channel of its tenant. One that acts for a user has the rights of that user.
 */
export function isManager(caller: Caller): boolean {
  return caller.kind === 'service' && caller.userId === 0n;
}

/**
 * The role of a call in row-level security. A service that acts for a user has the rights of that user only, except in the
 * RPCs that no user may call.
 */
export function roleOf(caller: Caller, method: DescMethod | undefined): Caller['kind'] {
  if (caller.kind !== 'service' || isManager(caller)) return caller.kind;
  return method !== undefined && getOption(method, access) === Access.SERVICE ? 'service' : 'user';
}
