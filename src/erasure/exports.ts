import type { Readable } from 'node:stream';
import type { PendingQuery } from 'postgres';
import { describeObject, type ExportedObject, keyOf, parseKey } from '../attachment/exported-object.ts';
import { EXPORT_PREFIX } from '../attachment/file.ts';
import type { Storage } from '../attachment/storage.ts';
import type { Database } from '../db/database.ts';
import { array, type Pool, type Sql } from '../db/types.ts';
import { errors } from '../rpc/errors.ts';
import { type ErasedLines, eraseLine } from './exported-line.ts';
import { lockForErasure } from './sql.ts';
import { type Erasure, STEP_MS, toScope } from './step.ts';

const KEYS = 500;

type ExportParts = { readonly db: Database; readonly storage: Storage };

/** Where the erasure in exported months continues: after a key, when these objects are removed. */
export type ExportProgress = { readonly exportKey: string; readonly remove?: readonly string[] };

/**
 * Erases a user in the exported months of channels of which the user is or was a member, and of those that no longer exist: an
 * object that concerns the user is replaced by another one. One object at a time is in memory. Returns false when it was closed
 * before the end.
 */
export async function eraseExports(
  parts: ExportParts,
  erasure: Erasure,
  { exportKey, remove = [] }: ExportProgress,
): Promise<boolean> {
  const { storage, db } = parts;
  if (storage.bucket === '') return true;
  for (const key of remove) await storage.remove(key);
  for (let after = exportKey; ; ) {
    const keys = await storage.list(`${EXPORT_PREFIX}${erasure.tenantId}/`, after, KEYS);
    const last = keys.at(-1);
    if (last === undefined) return true;
    for (const key of await listConcerned(db.log, erasure, keys)) {
      if (erasure.isClosed()) return false;
      await eraseObject(parts, erasure, key);
    }
    const progress: ExportProgress = { exportKey: last };
    await erasure.advance(db.log, JSON.stringify(progress), {});
    after = last;
  }
}

/** Of some keys, those of messages in channels that concern the user. */
async function listConcerned(sql: Pool, erasure: Erasure, keys: readonly string[]): Promise<string[]> {
  const objects = keys.flatMap((key) => {
    const parsed = parseKey(key);
    return parsed === undefined ? [] : [{ key, channelId: parsed.channelId }];
  });
  const ids = [...new Set(objects.map(({ channelId }) => channelId))];
  const rows = ids.length === 0 ? [] : await listExportChannels(sql, erasure, ids);
  const concerned = new Set(rows.map(({ channelId }) => channelId));
  return objects.filter(({ channelId }) => concerned.has(channelId)).map(({ key }) => key);
}

/** Replaces an object, with a certificate, and removes it with the files of the user. */
async function eraseObject(parts: ExportParts, erasure: Erasure, key: string): Promise<void> {
  const { db, storage } = parts;
  const { tenantId, userId } = erasure;
  const parsed = parseKey(key);
  if (parsed === undefined) return;
  const { body, found } = await eraseBody(storage, key, userId);
  if (found.erased + found.changed === 0) return;
  const { key: newKey, object } = describeObject(storage.bucket, parsed.stem, body);
  await storage.put(newKey, 'application/x-ndjson', body);
  const files = found.locations.flatMap((location) => keyOf(storage.bucket, location) ?? []);
  const remove = [...files.filter((file) => file.startsWith(EXPORT_PREFIX)), key];
  const progress: ExportProgress = { exportKey: key, remove };
  await db.transaction(toScope(tenantId), async (sql) => {
    const [lock] = await lockForErasure(sql, parsed.channelId, userId);
    if (lock?.holdId != null) throw errors.legalHold(tenantId, lock.holdId);
    await appendRewritten(sql, erasure, {
      ...object,
      channel_id: `${parsed.channelId}`,
      previous_location: `s3://${storage.bucket}/${key}`,
      erased_count: found.erased,
      changed_count: found.changed,
    });
    const counts = { exports: 1, exportedMessages: found.erased };
    await erasure.advance(sql, JSON.stringify(progress), counts);
  });
  for (const removed of remove) await storage.remove(removed);
}

async function eraseBody(
  storage: Storage,
  key: string,
  userId: bigint,
): Promise<{ body: Buffer; found: ErasedLines }> {
  const found: ErasedLines = { userId: `${userId}`, ownIds: new Set(), erased: 0, changed: 0, locations: [] };
  const lines: string[] = [];
  for await (const line of linesOf(await storage.read(key, AbortSignal.timeout(STEP_MS)))) {
    const next = eraseLine(line, found);
    if (next !== undefined) lines.push(`${next}\n`);
  }
  return { body: Buffer.from(lines.join('')), found };
}

/** Not readline, which also ends lines at U+2028, as texts can contain it. */
async function* linesOf(stream: Readable): AsyncGenerator<string> {
  let rest = '';
  for await (const chunk of stream.setEncoding('utf8')) {
    const lines = `${rest}${chunk}`.split('\n');
    rest = lines.pop() ?? '';
    yield* lines;
  }
}

type Rewritten = ExportedObject & Readonly<Record<string, string | number>>;

function appendRewritten(sql: Sql, { tenantId, userId }: Erasure, object: Rewritten): PendingQuery<object[]> {
  const details = JSON.stringify({ ...object, user_id: `${userId}` });
  return sql`select append_audit_event(${tenantId}, 'job', 0, 'EXPORT_ERASED', ${details}::text::jsonb)`;
}

/** Of some channels, those of which a user is or was a member, and those that no longer exist. */
function listExportChannels(
  sql: Pool,
  { tenantId, userId }: Erasure,
  channelIds: readonly bigint[],
): PendingQuery<{ channelId: bigint }[]> {
  return sql<{ channelId: bigint }[]>`
    select channel_id
    from list_export_channels(${tenantId}, ${userId}, ${sql.array([...channelIds], array.bigint)})
  `;
}
