import type { Logger } from 'pino';
import type { PendingQuery } from 'postgres';
import type { Config } from '../config.ts';
import type { Pool } from '../db/types.ts';
import type { Storage } from './storage.ts';

const BATCH = 100;
const LEASE_MS = 60_000n;
const HOUR_MS = 3_600_000n;

type PurgeParts = {
  readonly pool: Pool;
  readonly storage: Storage;
  readonly config: Config;
  readonly log: Logger;
  readonly isClosed: () => boolean;
};

/**
 * Removes uploads that were never sent, and deletes the objects of removed files, until nothing is due. Instances may do
 * so side by side. What fails, or is interrupted, is due again a minute later. Returns the number of deleted objects.
 */
export async function purgeObjects({ pool, storage, config, log, isClosed }: PurgeParts): Promise<number> {
  if (storage.bucket === '') return 0;
  await removeAbandonedUploads(pool, BigInt(config.attachment.abandonedHours) * HOUR_MS, BATCH);
  let deleted = 0;
  while (!isClosed()) {
    const due = await claimObjectDeletions(pool, BATCH, LEASE_MS);
    const done: bigint[] = [];
    for (const { id, s3Key, uploadId, attempts } of due) {
      try {
        if (uploadId !== null) await storage.abortUpload(s3Key, uploadId);
        await storage.remove(s3Key);
        done.push(id);
      } catch (error) {
        log.warn(
          { err: error, deletionId: `${id}`, attempts },
          'an object was not deleted; retrying in a minute',
        );
      }
    }
    if (done.length > 0) await finishObjectDeletions(pool, done);
    deleted += done.length;
    if (due.length < BATCH || done.length === 0) break;
  }
  return deleted;
}

type DueRow = {
  readonly id: bigint;
  readonly s3Key: string;
  readonly uploadId: string | null;
  readonly attempts: number;
};

/** Objects to delete now. Another call returns them again after the lease, unless they are finished. */
function claimObjectDeletions(sql: Pool, limit: number, leaseMs: bigint): PendingQuery<DueRow[]> {
  return sql<DueRow[]>`
    select id, s3_key, upload_id, attempts
    from claim_object_deletions(${limit}, ${leaseMs})
  `;
}

/** Forgets objects that were deleted. */
function finishObjectDeletions(sql: Pool, ids: readonly bigint[]): PendingQuery<object[]> {
  return sql`select finish_object_deletions(${sql.array([...ids], 1016)})`;
}

/** Removes uploads that are in no message and began longer ago than an age in ms. Returns their number. */
function removeAbandonedUploads(
  sql: Pool,
  ageMs: bigint,
  limit: number,
): PendingQuery<{ removed: number }[]> {
  return sql<{ removed: number }[]>`select remove_abandoned_uploads(${ageMs}, ${limit}) as removed`;
}
