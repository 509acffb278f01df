import type { PendingQuery } from 'postgres';
import type { Pool } from '../db/database.ts';

/** Makes the partitions of the coming days, months and ids; names of those made. */
export function ensurePartitions(sql: Pool): PendingQuery<{ made: string }[]> {
  return sql<{ made: string }[]>`select made from ensure_partitions() as made`;
}

/** Drops the days of the log that are older than it is kept; names of those dropped. */
export function dropOldEvents(sql: Pool, days: number): PendingQuery<{ dropped: string }[]> {
  return sql<{ dropped: string }[]>`select dropped from drop_old_event_partitions(${days}) as dropped`;
}

/** Forgets request ids used before a time, at most `limit`; how many it forgot. */
export function pruneRequestIds(
  sql: Pool,
  beforeMs: bigint,
  limit: number,
): PendingQuery<{ pruned: number }[]> {
  return sql<{ pruned: number }[]>`select prune_idempotency_keys(${beforeMs}, ${limit}) as pruned`;
}

/** Brings stored unread numbers in line with the exact ones, at most `limit` channels; how many rows it mended. */
export function settleUnread(sql: Pool, limit: number): PendingQuery<{ settled: number }[]> {
  return sql<{ settled: number }[]>`select settle_unread(${limit}) as settled`;
}
