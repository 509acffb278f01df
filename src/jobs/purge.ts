import type { Logger } from 'pino';
import type { PendingQuery } from 'postgres';
import type { Storage } from '../attachment/storage.ts';
import { setArchived } from '../channel/lifecycle.ts';
import type { Config } from '../config.ts';
import type { Database } from '../db/database.ts';
import type { Pool } from '../db/types.ts';
import type { Relay } from '../event/relay.ts';
import { errors } from '../rpc/errors.ts';
import { exportOld } from './export-old.ts';
import { advanceRun, beginRun, type Counted, LEASE_MS, type Run } from './retention-run.ts';

const DAY_MS = 86_400_000n;
const PURGE_BATCH = 2_000;
const ARCHIVE_BATCH = 100;
const ARCHIVE_MS = 10_000;
const PREVIEW_LIMIT = 100_000;

export type PurgeParts = {
  readonly db: Database;
  readonly relay: Relay;
  readonly storage: Storage;
  readonly config: Config;
  readonly log: Logger;
  readonly isClosed: () => boolean;
};

/** The numbers of rows that a run of the retention rules removed, archived or exported. */
export type RetentionResult = Readonly<Record<Counted, number>>;

/** Applies the retention rules until nothing is left to do. Undefined while a run of another instance is in progress. */
export async function purge(parts: PurgeParts): Promise<RetentionResult | undefined> {
  const { db, config } = parts;
  const run = await beginRun(db.log, config.instance);
  if (run === undefined) return undefined;
  try {
    const result = await applyRules(parts, run);
    await advanceRun(db.log, run, 'archived', 0, { isEnd: true });
    return result;
  } catch (error) {
    // Or a lock that was not available would keep all instances from continuing until the lease ends.
    await advanceRun(db.log, run, 'archived', 0, { leaseMs: 0n }).catch(() => undefined);
    throw error;
  }
}

async function applyRules(parts: PurgeParts, run: Run): Promise<RetentionResult> {
  const { deletedMs, activityMs, inactiveMs } = agesOf(parts.config);
  return {
    messages: await purgeAll(parts, (sql) => purgeMessages(sql, run, deletedMs)),
    channels: await purgeAll(parts, (sql) => purgeChannels(sql, run, deletedMs)),
    activities: await purgeAll(parts, (sql) => purgeActivities(sql, run, activityMs)),
    archived: await archiveInactive(parts, run, inactiveMs),
    exported: await exportOld(parts, run),
  };
}

/** Counts what a run would remove, archive and export now. */
export async function previewPurge({
  db,
  config,
  storage,
}: Pick<PurgeParts, 'db' | 'config' | 'storage'>): Promise<RetentionResult> {
  const { deletedMs, activityMs, inactiveMs } = agesOf(config);
  const [row] = await db.log<RetentionResult[]>`
    select messages, channels, activities, archived, exported
    from preview_retention(${deletedMs}, ${activityMs}, ${inactiveMs}, ${PREVIEW_LIMIT})
  `;
  if (row === undefined) throw errors.internal('preview_retention');
  return storage.bucket === '' ? { ...row, exported: 0 } : row;
}

async function purgeAll({ db, isClosed }: PurgeParts, step: (sql: Pool) => PurgedRows): Promise<number> {
  let purged = 0;
  while (!isClosed()) {
    const [row] = await step(db.log);
    if (row === undefined || row.purged === 0) break;
    purged += row.purged;
  }
  return purged;
}

// Archives as a service of the tenant, with the usual event and notice.
async function archiveInactive(parts: PurgeParts, run: Run, ageMs: bigint | null): Promise<number> {
  const { db } = parts;
  let archived = 0;
  for (const { tenantId, channelId } of await listInactiveGroups(db.log, ageMs, ARCHIVE_BATCH)) {
    if (parts.isClosed()) break;
    const caller = { kind: 'service', tenantId, userId: 0n, name: '', roles: new Set<string>() } as const;
    const signal = AbortSignal.timeout(ARCHIVE_MS);
    try {
      await setArchived(parts, { caller, signal, deadline: Date.now() + ARCHIVE_MS }, { channelId }, true);
      archived += 1;
    } catch (error) {
      parts.log.warn(
        { err: error, channelId: `${channelId}` },
        'archiving an inactive group failed; retrying in the next run',
      );
    }
  }
  if (archived > 0) await advanceRun(db.log, run, 'archived', archived);
  return archived;
}

// Ages, not times: the database compares them with its own clock. Null: never.
function agesOf({ retention }: Config) {
  const toAge = (days: number) => (days === 0 ? null : BigInt(days) * DAY_MS);
  return {
    deletedMs: toAge(retention.deletedDays),
    activityMs: toAge(retention.activityDays),
    inactiveMs: toAge(retention.inactiveDays),
  };
}

type PurgedRows = PendingQuery<{ readonly purged: number }[]>;

/** Removes deleted messages whose period is over. Returns their number. */
function purgeMessages(sql: Pool, { runId, attempt }: Run, ageMs: bigint | null): PurgedRows {
  return sql<{ purged: number }[]>`
    select p.purged, advance_retention_run(${runId}, ${attempt}, 'messages', p.purged, ${LEASE_MS})
    from purge_deleted_messages(${ageMs}, ${PURGE_BATCH}) as p(purged)
  `;
}

/** Removes messages of one deleted channel whose period is over, and finally the channel. Returns the number of rows. */
function purgeChannels(sql: Pool, { runId, attempt }: Run, ageMs: bigint | null): PurgedRows {
  return sql<{ purged: number }[]>`
    select p.purged, advance_retention_run(${runId}, ${attempt}, 'channels', p.purged, ${LEASE_MS})
    from purge_deleted_channels(${ageMs}, ${PURGE_BATCH}) as p(purged)
  `;
}

/** Removes activities whose period is over. Returns their number. */
function purgeActivities(sql: Pool, { runId, attempt }: Run, ageMs: bigint | null): PurgedRows {
  return sql<{ purged: number }[]>`
    select p.purged, advance_retention_run(${runId}, ${attempt}, 'activities', p.purged, ${LEASE_MS})
    from purge_activities(${ageMs}, ${PURGE_BATCH}) as p(purged)
  `;
}

type InactiveRow = { readonly tenantId: bigint; readonly channelId: bigint };

/** Groups of all tenants without activity for their period. */
function listInactiveGroups(sql: Pool, ageMs: bigint | null, limit: number): PendingQuery<InactiveRow[]> {
  return sql<InactiveRow[]>`
    select tenant_id, channel_id
    from list_inactive_groups(${ageMs}, ${limit})
  `;
}
