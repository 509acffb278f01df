import type { PendingQuery } from 'postgres';
import type { Pool } from '../../db/types.ts';
import type { Position } from './cursor.ts';

/** The events of the log that a tenant stream contains. */
export type TenantStreamFilter = {
  readonly tenants: readonly bigint[] | 'all';
  /** Values of the column `kind`, such as MESSAGE_CREATED; undefined for all. */
  readonly kinds: readonly string[] | undefined;
};

/** An event; the last row has no payload, and the position that was reached. */
export type TenantStreamRow = {
  readonly tenantId: bigint | null;
  readonly xid: bigint;
  readonly id: bigint;
  readonly payload: Buffer | null;
  readonly epoch: bigint;
  readonly lost: 'EXPIRED' | 'HISTORY_CHANGED' | null;
  /** Null unless the end of the log was reached. */
  readonly heldMs: bigint | null;
};

/**
 * Events after a position, in order, and a last row with the position that was reached; only that row when no position
 * is given. Checks no rights: the caller has to.
 */
export function readTenantEvents(
  sql: Pool,
  after: Position | undefined,
  { tenants, kinds }: TenantStreamFilter,
  limit: number,
  bytes: number,
): PendingQuery<TenantStreamRow[]> {
  return sql<TenantStreamRow[]>`
    select tenant_id, xid, id, payload, epoch, lost, held_ms
    from read_tenant_events(
      ${after?.epoch ?? null},
      ${after?.xid ?? null},
      ${after?.id ?? null},
      ${tenants === 'all' ? null : sql.array([...tenants], 1016)},
      ${kinds === undefined ? null : `{${kinds.join(',')}}`}::text::text[],
      ${limit},
      ${bytes}
    )
  `;
}
