import { setTimeout as sleep } from 'node:timers/promises';
import type { PendingQuery } from 'postgres';
import type { Config } from '../config.ts';
import type { Pool, Sql } from '../db/types.ts';

/**
 * Creates the partitions of the coming days, months and ids, and moves rows out of the default partitions in batches, with
 * pauses of the same length. Returns the names of those created.
 */
export async function ensurePartitions(sql: Pool, isClosed: () => boolean): Promise<string[]> {
  const created: string[] = [];
  while (!isClosed()) {
    const start = performance.now();
    const rows = await sql<{ made: string }[]>`select made from ensure_partitions() as made`;
    created.push(...rows.map(({ made }) => made));
    const moving = await sql`select name from moving_partitions() as name`;
    if (moving.length === 0) break;
    await sleep(performance.now() - start);
  }
  return created;
}

/** Drops the event log's partitions older than `days`. Returns the names of those dropped. */
export function dropOldEvents(sql: Sql, days: number): PendingQuery<{ dropped: string }[]> {
  return sql<{ dropped: string }[]>`select dropped from drop_old_event_partitions(${days}) as dropped`;
}

/** Drops partitions that purges and exports have emptied. Returns their names. */
export async function dropEmptyPartitions(sql: Pool, isClosed: () => boolean): Promise<string[]> {
  const dropped: string[] = [];
  while (!isClosed()) {
    const [row] = await sql<{ dropped: string }[]>`select dropped from drop_empty_partitions() as dropped`;
    if (row === undefined) break;
    dropped.push(row.dropped);
  }
  return dropped;
}

const EVENT_BATCH = 5_000;

type PurgeEventsParts = { readonly config: Config; readonly isClosed: () => boolean };

/** Removes events of the log that a rule keeps for a shorter time than their day. Returns their number. */
export async function purgeEvents(sql: Pool, { config, isClosed }: PurgeEventsParts): Promise<number> {
  const { retentionDays } = config.event;
  let total = 0;
  for (let from = 0n; !isClosed(); ) {
    const [row] = await sql<{ channelId: bigint; removed: number }[]>`
      select channel_id, removed from purge_events(${retentionDays}, ${from}, ${EVENT_BATCH})
    `;
    if (row === undefined) break;
    total += row.removed;
    from = row.channelId;
  }
  return total;
}

export type TableStatsRow = {
  readonly name: string;
  readonly bytes: bigint;
  /** Of a partitioned table only. */
  readonly defaultRows: bigint | null;
  readonly partitionsAhead: bigint | null;
  /** Since retention last finished; null if it never did. */
  readonly retentionAgeMs: bigint | null;
};

export function listTableStats(sql: Sql): PendingQuery<TableStatsRow[]> {
  return sql<TableStatsRow[]>`
    select name, bytes, default_rows, partitions_ahead, retention_age_ms() as retention_age_ms
    from table_stats()
  `;
}

export type StandbyLagRow = { readonly standby: string; readonly bytes: bigint; readonly ms: bigint };

export function listStandbyLag(sql: Sql): PendingQuery<StandbyLagRow[]> {
  return sql<StandbyLagRow[]>`select standby, bytes, ms from standby_lag()`;
}

const PRUNE_BATCH = 5_000;

type PruneParts = { readonly config: Config; readonly isClosed: () => boolean };

/** Deletes the request ids that are older than configured, in batches until none is left. Returns their number. */
export async function pruneRequestIds(sql: Pool, { config, isClosed }: PruneParts): Promise<number> {
  const ageMs = BigInt(config.write.requestIdHours) * 3_600_000n;
  let total = 0;
  while (!isClosed()) {
    const [row] = await pruneBatch(sql, ageMs);
    total += row?.pruned ?? 0;
    if (row === undefined || row.pruned < PRUNE_BATCH) break;
  }
  return total;
}

function pruneBatch(sql: Pool, ageMs: bigint): PendingQuery<{ pruned: number }[]> {
  return sql<{ pruned: number }[]>`select prune_idempotency_keys(${ageMs}, ${PRUNE_BATCH}) as pruned`;
}

/** Sets stored unread counts to the exact ones, for at most `limit` channels. Returns the number of rows changed. */
export function settleUnread(sql: Pool, limit: number): PendingQuery<{ settled: number }[]> {
  return sql<{ settled: number }[]>`select settle_unread(${limit}) as settled`;
}
