import type { PendingQuery } from 'postgres';
import type { Pool, Sql } from '../db/types.ts';

/** Makes the partitions of the coming days, months and ids; names of those made. */
export function ensurePartitions(sql: Sql): PendingQuery<{ made: string }[]> {
  return sql<{ made: string }[]>`select made from ensure_partitions() as made`;
}

/** Drops the days of the log that are older than it is kept; names of those dropped. */
export function dropOldEvents(sql: Sql, days: number): PendingQuery<{ dropped: string }[]> {
  return sql<{ dropped: string }[]>`select dropped from drop_old_event_partitions(${days}) as dropped`;
}

const PRUNED_AT_ONCE = 5_000;

/** Forgets request ids used before a time, at most 5,000; how many it forgot. */
export function pruneRequestIds(sql: Sql, beforeMs: bigint): PendingQuery<{ pruned: number }[]> {
  return sql<{ pruned: number }[]>`select prune_idempotency_keys(${beforeMs}, ${PRUNED_AT_ONCE}) as pruned`;
}

/** Brings stored unread numbers in line with the exact ones, at most `limit` channels; how many rows it mended. */
export function settleUnread(sql: Pool, limit: number): PendingQuery<{ settled: number }[]> {
  return sql<{ settled: number }[]>`select settle_unread(${limit}) as settled`;
}
