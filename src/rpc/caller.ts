import type { Caller } from './call.ts';
import { errors } from './errors.ts';

/** A service that serves many tenants has to say which one it means. */
export function requireTenant({ tenantId }: Caller): void {
  if (tenantId === 0n) throw errors.fieldInvalid('x-tenant-id', 'is required');
}
