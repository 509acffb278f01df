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
