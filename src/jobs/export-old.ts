import { toJson } from '@bufbuild/protobuf';
import type { PendingQuery } from 'postgres';
import { type ExportedFile, ExportedFileSchema } from '#gen/serp/discuss/v1/admin_service_pb.ts';
import { describeObject, type ExportedObject, folderOf, keyOf } from '../attachment/exported-object.ts';
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
 * Exports old messages to the store of files and removes them, in batches of a channel and month. Returns the number of messages.
 */
export async function exportOld({ db, storage, isClosed }: ExportParts, run: Run): Promise<number> {
  if (storage.bucket === '') return 0;
  let exported = 0;
  for (let from = 0n; !isClosed(); ) {
    const [batch] = await nextExport(db.log, from);
    if (batch === undefined) break;
    const { object, keys } = await write(db.log, storage, batch);
    const [row] = await removeExported(db.log, run, batch, object);
    exported += row?.removed ?? 0;
    // Or what users delete later would remain in an object that no certificate states.
    if (row?.removed === 0) for (const key of keys) await storage.remove(key);
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

/** What a certificate states of a batch, and the keys that were written. */
type Written = { readonly object: ExportedObject & { readonly file_count: number }; readonly keys: string[] };

async function write(sql: Pool, storage: Storage, batch: Batch): Promise<Written> {
  const { tenantId, channelId, month, ids } = batch;
  const folder = folderOf(tenantId, month, channelId);
  const lines: string[] = [];
  const keys: string[] = [];
  for (const row of await listLines(sql, batch)) {
    lines.push(row.line);
    for (const file of toFiles(row)) {
      const copy = `${folder}files/${file.id}`;
      const location = await copyFile(storage, file, copy);
      lines.push(JSON.stringify({ kind: 'file', file: toJson(ExportedFileSchema, { ...file, location }) }));
      keys.push(copy);
    }
  }
  const body = Buffer.from(lines.map((line) => `${line}\n`).join(''));
  const { key, object } = describeObject(storage.bucket, `${folder}${ids.at(0)}-${ids.at(-1)}`, body);
  await storage.put(key, 'application/x-ndjson', body);
  return { object: { ...object, file_count: keys.length }, keys: [...keys, key] };
}

/** Copies the bytes of a file, which are deleted with its message. Empty if the store does not have them. */
async function copyFile(storage: Storage, { location }: ExportedFile, copy: string): Promise<string> {
  const key = keyOf(storage.bucket, location);
  if (key === undefined || (await storage.head(key)) === undefined) return '';
  await storage.copy(key, copy);
  return `s3://${storage.bucket}/${copy}`;
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
  object: Written['object'],
): PendingQuery<{ removed: number }[]> {
  return sql<{ removed: number }[]>`
    select r.removed, advance_retention_run(${runId}, ${attempt}, 'exported', r.removed, ${LEASE_MS})
    from remove_exported_messages(
      ${tenantId}, ${channelId}, ${sql.array([...ids], array.bigint)}, ${sql.array([...eventSeqs], array.bigint)},
      ${JSON.stringify(object)}::text::jsonb
    ) as r(removed)
  `;
}
