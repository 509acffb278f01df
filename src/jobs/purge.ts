import type { Logger } from 'pino';
import type { PendingQuery } from 'postgres';
import { setArchived } from '../channel/lifecycle.ts';
import type { Config } from '../config.ts';
import type { Database } from '../db/database.ts';
import type { Pool } from '../db/types.ts';
import type { Relay } from '../event/relay.ts';

const DAY_MS = 86_400_000n;
const PURGE_BATCH = 2_000;
const ARCHIVE_BATCH = 100;
const ARCHIVE_MS = 10_000;

export type PurgeParts = {
  readonly db: Database;
  readonly relay: Relay;
  readonly config: Config;
  readonly log: Logger;
  readonly isClosed: () => boolean;
};

/** The numbers of rows that a run of the retention rules removed or archived. */
export type RetentionResult = {
  readonly messages: number;
  readonly channels: number;
  readonly activities: number;
  readonly archived: number;
};

/** Applies the retention rules until nothing is left to do. */
export async function purge(parts: PurgeParts): Promise<RetentionResult> {
  const { retention } = parts.config;
  const all = async (days: number, step: typeof purgeMessages) =>
    days === 0 ? 0 : purgeAll(parts, toAgeMs(days), step);
  return {
    messages: await all(retention.deletedDays, purgeMessages),
    channels: await all(retention.deletedDays, purgeChannels),
    activities: await all(retention.activityDays, purgeActivities),
    archived: retention.inactiveDays === 0 ? 0 : await archiveInactive(parts),
  };
}

async function purgeAll(
  { db, isClosed }: PurgeParts,
  ageMs: bigint,
  step: (sql: Pool, ageMs: bigint, limit: number) => ReturnType<typeof purgeMessages>,
): Promise<number> {
  let purged = 0;
  while (!isClosed()) {
    const [row] = await step(db.log, ageMs, PURGE_BATCH);
    if (row === undefined || row.purged === 0) break;
    purged += row.purged;
  }
  return purged;
}

// Archives as a service of the tenant, with the usual event and notice.
async function archiveInactive(parts: PurgeParts): Promise<number> {
  const { db, config } = parts;
  const ageMs = toAgeMs(config.retention.inactiveDays);
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
  return archived;
}

// Ages, not times: the database compares them with its own clock.
function toAgeMs(days: number): bigint {
  return BigInt(days) * DAY_MS;
}

type PurgedRows = PendingQuery<{ readonly purged: number }[]>;

/** Removes messages that were soft-deleted longer ago than an age in ms. Returns their number. */
function purgeMessages(sql: Pool, ageMs: bigint, limit: number): PurgedRows {
  return sql<{ purged: number }[]>`select purge_deleted_messages(${ageMs}, ${limit}) as purged`;
}

/**
 * Removes messages of a channel that was soft-deleted longer ago than an age in ms, and finally the channel. Returns
 * the number of rows.
 */
function purgeChannels(sql: Pool, ageMs: bigint, limit: number): PurgedRows {
  return sql<{ purged: number }[]>`select purge_deleted_channels(${ageMs}, ${limit}) as purged`;
}

/** Removes activities older than an age in ms. Returns their number. */
function purgeActivities(sql: Pool, ageMs: bigint, limit: number): PurgedRows {
  return sql<{ purged: number }[]>`select purge_activities(${ageMs}, ${limit}) as purged`;
}

type InactiveRow = { readonly tenantId: bigint; readonly channelId: bigint };

/** Groups of all tenants without activity for an age in ms. */
function listInactiveGroups(sql: Pool, ageMs: bigint, limit: number): PendingQuery<InactiveRow[]> {
  return sql<InactiveRow[]>`
    select tenant_id, channel_id
    from list_inactive_groups(${ageMs}, ${limit})
  `;
}
