import type { PendingQuery } from 'postgres';
import type { AdminService } from '#gen/serp/discuss/v1/admin_service_pb.ts';
import type { Sql } from '../db/types.ts';
import type { Call, Handlers } from '../rpc/call.ts';
import { EXPORT_PREFIX } from './file.ts';
import type { Storage } from './storage.ts';
import type { UploadDeps } from './upload.ts';

type ReconcileHandlers = Pick<Handlers<typeof AdminService>, 'reconcileAttachments'>;

const DEFAULT_OBJECTS = 500;

export function reconcileRoutes(deps: UploadDeps): ReconcileHandlers {
  const { db, storage } = deps;
  return {
    async reconcileAttachments({ startAfter, maxObjects, deleteUnknown }, call) {
      const limit = maxObjects === 0 ? DEFAULT_OBJECTS : maxObjects;
      // First the store: what is created after this has a row already, and what is deleted is still queued.
      const objects = await storage.list('', startAfter, limit);
      const end = objects.length < limit ? null : (objects.at(-1) ?? null);
      const known = await listKeys(deps, call, startAfter, end, limit);
      // More rows than objects: the page ends where the rows do.
      const last = known.length < 2 * limit ? end : (known.at(-1)?.key ?? end);
      const inPage = objects.filter(
        (key) => last === null || Buffer.compare(toBytes(key), toBytes(last)) <= 0,
      );
      const missing = await findMissing(storage, known, new Set(inPage));
      const knownKeys = new Set(known.map(({ key }) => key));
      const unknown = inPage.filter((key) => !knownKeys.has(key) && !key.startsWith(EXPORT_PREFIX));
      const [queued] =
        deleteUnknown && unknown.length > 0
          ? await db.run(call, (sql) => queueUnknownObjects(sql, unknown))
          : [];
      return {
        checkedObjectCount: inPage.length,
        checkedAttachmentCount: known.filter(({ isRequired }) => isRequired).length,
        unknownKeys: unknown,
        missingAttachmentIds: missing,
        queuedDeletionCount: queued?.queued ?? 0,
        lastKey: last ?? '',
      };
    },
  };
}

function listKeys(
  { db, storage }: UploadDeps,
  call: Call,
  after: string,
  last: string | null,
  limit: number,
): Promise<readonly KeyRow[]> {
  return db.run(call, (sql) => listObjectKeys(sql, storage.bucket, after, last, 2 * limit));
}

/** Files without an object. Each is looked up again, because it may have been uploaded after the list was read. */
async function findMissing(
  storage: Storage,
  known: readonly KeyRow[],
  objects: ReadonlySet<string>,
): Promise<bigint[]> {
  const missing: bigint[] = [];
  for (const { key, isRequired, attachmentId } of known) {
    if (!isRequired || attachmentId === null || objects.has(key)) continue;
    if ((await storage.head(key)) === undefined) missing.push(attachmentId);
  }
  return [...new Set(missing)];
}

// Both sides are in the order of UTF-8 bytes.
function toBytes(key: string): Buffer {
  return Buffer.from(key);
}

type KeyRow = { readonly key: string; readonly isRequired: boolean; readonly attachmentId: bigint | null };

/** Keys that the database knows of, in the order of bytes, and whether their objects must exist. */
function listObjectKeys(
  sql: Sql,
  bucket: string,
  after: string,
  last: string | null,
  limit: number,
): PendingQuery<KeyRow[]> {
  return sql<KeyRow[]>`
    select key, is_required, attachment_id
    from list_object_keys(${bucket}, ${after}, ${last}, ${limit})
  `;
}

/** Queues objects for deletion that belong to no file. Returns their number. */
function queueUnknownObjects(sql: Sql, keys: readonly string[]): PendingQuery<{ queued: number }[]> {
  return sql<{ queued: number }[]>`
    select queue_unknown_objects(array(select json_array_elements_text(${JSON.stringify(keys)}::text::json))) as queued
  `;
}
