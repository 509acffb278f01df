import type { PendingQuery } from 'postgres';
import type { Pool, Sql } from '../db/types.ts';

/** Creates the partitions of the coming days, months and ids. Returns the names of those created. */
export function ensurePartitions(sql: Sql): PendingQuery<{ made: string }[]> {
  return sql<{ made: string }[]>`select made from ensure_partitions() as made`;
}

/** Drops the event log's partitions older than `days`. Returns the names of those dropped. */
export function dropOldEvents(sql: Sql, days: number): PendingQuery<{ dropped: string }[]> {
  return sql<{ dropped: string }[]>`select dropped from drop_old_event_partitions(${days}) as dropped`;
}

const PRUNE_BATCH = 5_000;

/** Deletes request ids used before a time, at most 5,000. Returns their number. */
export function pruneRequestIds(sql: Sql, beforeMs: bigint): PendingQuery<{ pruned: number }[]> {
  return sql<{ pruned: number }[]>`select prune_idempotency_keys(${beforeMs}, ${PRUNE_BATCH}) as pruned`;
}

/** Sets stored unread counts to the exact ones, for at most `limit` channels. Returns the number of rows changed. */
export function settleUnread(sql: Pool, limit: number): PendingQuery<{ settled: number }[]> {
  return sql<{ settled: number }[]>`select settle_unread(${limit}) as settled`;
}
