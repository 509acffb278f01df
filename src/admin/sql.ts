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

export type TenantStatsRow = {
  readonly channels: bigint;
  readonly members: bigint;
  readonly messages: bigint;
  readonly posts1: bigint;
  readonly posts7: bigint;
  readonly posts30: bigint;
};

/** Channels and messages of a tenant, and its growth. */
export function findTenantStats(sql: Sql, tenantId: bigint): PendingQuery<TenantStatsRow[]> {
  return sql<TenantStatsRow[]>`
    select channels, members, messages, posts_1 as "posts1", posts_7 as "posts7", posts_30 as "posts30"
    from tenant_stats(${tenantId})
  `;
}

/** The channels of a tenant with the most messages. */
export function listLargestChannels(
  sql: Sql,
  tenantId: bigint,
  limit: number,
): PendingQuery<{ channelId: bigint; messages: number; members: number }[]> {
  return sql<{ channelId: bigint; messages: number; members: number }[]>`
    select channel_id, messages, members
    from largest_channels(${tenantId}, ${limit})
    order by messages desc, channel_id
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
