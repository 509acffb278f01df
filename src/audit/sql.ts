import type { JsonObject } from '@bufbuild/protobuf';
import type { PendingQuery } from 'postgres';
import type { Pool, Sql } from '../db/types.ts';
import type { Caller } from '../rpc/call.ts';

/**
 * Appends an event to the audit log of a tenant (0n: of operators). In a transaction it comes last: it locks the head of
 * the log until the commit.
 */
export function appendAudit(
  sql: Sql | Pool,
  { kind, userId }: Caller,
  tenantId: bigint,
  action: string,
  details: JsonObject,
): PendingQuery<never[]> {
  return sql<never[]>`
    select append_audit_event(${tenantId}, ${kind}, ${userId}, ${action}, ${JSON.stringify(details)}::text::jsonb)
  `;
}
