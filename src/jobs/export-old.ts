import { createHash } from 'node:crypto';
import { toJson } from '@bufbuild/protobuf';
import type { PendingQuery } from 'postgres';
import { type ExportedFile, ExportedFileSchema } from '#gen/serp/discuss/v1/admin_service_pb.ts';
import { EXPORT_PREFIX } from '../attachment/file.ts';
import type { Storage } from '../attachment/storage.ts';
import type { Database } from '../db/database.ts';
import { array, type Pool } from '../db/types.ts';
import type { ExportRow } from '../export/sql.ts';
import { toFiles } from '../export/view.ts';
import { LEASE_MS, type Run } from './retention-run.ts';

const BATCH = 500;
// Itself and 100 earlier versions.
const MAX_LINES = 101;
// Behind all versions of the message before.
const LAST_PART = 2_147_483_647;

type ExportParts = {
  readonly db: Database;
  readonly storage: Storage;
  readonly isClosed: () => boolean;
};

/**
 * Exports old messages to the store of files and removes them, in batches of a channel and month. A batch that was written but
 * not removed, because the instance ended, is written again under the same key. Returns the number of messages.
 */
export async function exportOld({ db, storage, isClosed }: ExportParts, run: Run): Promise<number> {
  if (storage.bucket === '') return 0;
  let exported = 0;
  for (let from = 0n; !isClosed(); ) {
    const [batch] = await nextExport(db.log, from);
    if (batch === undefined) break;
    const object = await write(db.log, storage, batch);
    const [row] = await removeExported(db.log, run, batch, object);
    exported += row?.removed ?? 0;
    // What changes at this moment is left for the next run.
    from = row?.removed === 0 ? batch.channelId + 1n : batch.channelId;
  }
  return exported;
}

type Batch = {
  readonly tenantId: bigint;
  readonly channelId: bigint;
  /** Such as 2026-11. */
  readonly month: string;
  readonly ids: readonly bigint[];
  readonly eventSeqs: readonly bigint[];
};

/** What a certificate states of an object. */
type ExportedObject = Readonly<Record<string, string | number>>;

async function write(sql: Pool, storage: Storage, batch: Batch): Promise<ExportedObject> {
  const { tenantId, channelId, month, ids } = batch;
  const folder = `${EXPORT_PREFIX}${tenantId}/${month}/${channelId}/`;
  const lines: string[] = [];
  let files = 0;
  for (const row of await listLines(sql, batch)) {
    lines.push(row.line);
    for (const file of toFiles(row)) {
      const location = await copyFile(storage, file, `${folder}files/${file.id}`);
      lines.push(JSON.stringify({ kind: 'file', file: toJson(ExportedFileSchema, { ...file, location }) }));
      files += 1;
    }
  }
  const body = Buffer.from(lines.map((line) => `${line}\n`).join(''));
  const key = `${folder}${ids.at(0)}-${ids.at(-1)}.ndjson`;
  await storage.put(key, 'application/x-ndjson', body);
  const sha256 = createHash('sha256').update(body).digest('hex');
  return {
    location: `s3://${storage.bucket}/${key}`,
    sha256,
    byte_count: body.length,
    file_count: files,
  };
}

/** Copies the bytes of a file, which are deleted with its message. Empty if the store does not have them. */
async function copyFile(storage: Storage, { location }: ExportedFile, copy: string): Promise<string> {
  const bucket = `s3://${storage.bucket}/`;
  const key = location.slice(bucket.length);
  if (!location.startsWith(bucket) || (await storage.head(key)) === undefined) return '';
  await storage.copy(key, copy);
  return bucket + copy;
}

/** The next messages to export, from a channel on. */
function nextExport(sql: Pool, from: bigint): PendingQuery<Batch[]> {
  return sql<Batch[]>`
    select tenant_id, channel_id, month, ids, event_seqs
    from next_message_export(${from}, ${BATCH})
  `;
}

/** The messages of a batch, each followed by its earlier versions, as ExportChannel returns them. */
function listLines(
  sql: Pool,
  { tenantId, channelId, ids }: Batch,
): PendingQuery<(ExportRow & { readonly line: string })[]> {
  return sql<(ExportRow & { readonly line: string })[]>`
    select e.key, e.part, e.line, e.files
    from unnest(${sql.array([...ids], array.bigint)}::bigint[]) as m(id)
    cross join lateral export_messages(
      ${tenantId}, ${channelId}, null, m.id - 1, ${LAST_PART}, 1, ${MAX_LINES}
    ) as e
    where e.line is not null
    order by e.key, e.part
  `;
}

/** Removes exported messages; 0 if one has changed. */
function removeExported(
  sql: Pool,
  { runId, attempt }: Run,
  { tenantId, channelId, ids, eventSeqs }: Batch,
  object: ExportedObject,
): PendingQuery<{ removed: number }[]> {
  return sql<{ removed: number }[]>`
    select r.removed, advance_retention_run(${runId}, ${attempt}, 'exported', r.removed, ${LEASE_MS})
    from remove_exported_messages(
      ${tenantId}, ${channelId}, ${sql.array([...ids], array.bigint)}, ${sql.array([...eventSeqs], array.bigint)},
      ${JSON.stringify(object)}::text::jsonb
    ) as r(removed)
  `;
}
