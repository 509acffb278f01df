import type { PendingQuery } from 'postgres';
import type { Sql } from '../db/types.ts';

export type KindRow = {
  readonly kind: string;
  readonly checked: bigint;
  readonly repaired: bigint;
  /** Last channel of the page; null when there are none after it. */
  readonly nextAfter: bigint | null;
};

/**
 * Compares stored counters with exact counts, and repairs them, for a page of channels of one tenant or (0n) of all.
 */
export function reconcileCounters(
  sql: Sql,
  tenantId: bigint,
  after: bigint,
  limit: number,
): PendingQuery<KindRow[]> {
  return sql<KindRow[]>`
    select kind, checked, repaired, next_after
    from reconcile_counters(${tenantId}, ${after}, ${limit})
  `;
}

export type StatRow = {
  readonly tenants: bigint;
  readonly name: string;
  readonly rowsEstimate: bigint;
  readonly bytes: bigint;
};

/** Sizes of the tables and of the event log's partitions. */
export function listStats(sql: Sql): PendingQuery<StatRow[]> {
  return sql<StatRow[]>`
    select t.tenants, s.name, s.rows_estimate, s.bytes
    from database_stats() s
    cross join (select count_tenants() as tenants) as t
    order by s.name
  `;
}

export type StorageStatsRow = {
  readonly bytes: bigint;
  readonly files: bigint;
  readonly pendingScans: bigint;
  readonly queuedDeletions: bigint;
};

/** Use of the store of files by a tenant, or (0n) by all. */
export function findStorageStats(sql: Sql, tenantId: bigint): PendingQuery<StorageStatsRow[]> {
  return sql<StorageStatsRow[]>`
    select bytes, files, pending_scans, queued_deletions
    from storage_stats(${tenantId})
  `;
}
