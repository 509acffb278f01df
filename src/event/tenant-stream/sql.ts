import type { PendingQuery } from 'postgres';
import type { Pool } from '../../db/types.ts';
import type { Position } from './cursor.ts';

/** Which events of the log a feed is of. */
export type TenantStreamFilter = {
  readonly tenants: readonly bigint[] | 'all';
  /** As the log's column names them: MESSAGE_CREATED; undefined: all kinds. */
  readonly kinds: readonly string[] | undefined;
};

/** An event; or, without payload and last, how far the log was read. */
export type TenantStreamRow = {
  readonly tenantId: bigint | null;
  readonly xid: bigint;
  readonly id: bigint;
  readonly payload: Buffer | null;
  readonly epoch: bigint;
  readonly lost: 'EXPIRED' | 'UNKNOWN' | null;
  readonly heldMs: bigint | null;
};

/**
 * Events after a place, in order, and a last row that says how far this is; only that row where no place is
 * given. Checks no rights: who serves the feed does.
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
