import type { Caller } from './call.ts';
import { errors } from './errors.ts';

/** A service of several tenants must name one of them in x-tenant-id. */
export function requireTenant({ tenantId }: Caller): void {
  if (tenantId === 0n) throw errors.fieldInvalid('x-tenant-id', 'is required');
}
