import type { PendingQuery } from 'postgres';
import { array, type Pool, type Sql } from '../db/types.ts';
import type { DataKeyRow } from '../encryption/sql.ts';

export type Phase = 'WRAP' | 'REPLACE' | 'ENCRYPT';
export type RowKind = 'messages' | 'message_edits' | 'attachments' | 'channel_events';

/** A rotation of keys. */
export type RotationRow = {
  readonly id: bigint;
  readonly tenantId: bigint;
  readonly channelId: bigint;
  readonly keyId: string;
  readonly replacesKeys: boolean;
  readonly startedAt: bigint;
  readonly finishedAt: bigint | null;
  readonly attempt: number;
  readonly instance: string;
  readonly phase: Phase;
  readonly keyCursor: bigint;
  readonly rowKind: RowKind;
  readonly rowCursor: bigint;
  readonly rewrapped: bigint;
  readonly replaced: bigint;
  readonly reencrypted: bigint;
  readonly failed: bigint;
};

/** Begins or continues the rotation that no instance works on; no row if there is none for this instance. */
export function claimRotation(
  sql: Pool,
  instance: string,
  keyId: string,
  leaseMs: bigint,
): PendingQuery<RotationRow[]> {
  return sql<RotationRow[]>`
    select ${rotationColumns(sql)} from claim_key_rotation(${instance}, ${keyId}, ${leaseMs})
  `;
}

export function listRotations(sql: Sql, before: bigint, limit: number): PendingQuery<RotationRow[]> {
  return sql<RotationRow[]>`
    select ${rotationColumns(sql)} from list_key_rotations(${before}, ${limit})
  `;
}

function rotationColumns(sql: Sql) {
  return sql`
    id, tenant_id, channel_id, key_id, replaces_keys, started_at, finished_at, attempt, instance, phase, key_cursor,
    row_kind, row_cursor, rewrapped, replaced, reencrypted, failed
  `;
}

/** Records a rotation, or returns the one in progress. */
export function startRotation(
  sql: Sql,
  rotation: Pick<RotationRow, 'tenantId' | 'channelId' | 'keyId' | 'replacesKeys'>,
): PendingQuery<{ id: bigint; started: boolean }[]> {
  return sql<{ id: bigint; started: boolean }[]>`
    select id, started
    from start_key_rotation(
      ${rotation.tenantId}, ${rotation.channelId}, ${rotation.keyId}, ${rotation.replacesKeys}
    )
  `;
}

/** Where a rotation continues. */
export type Place = Pick<RotationRow, 'phase' | 'keyCursor' | 'rowKind' | 'rowCursor'>;
export type Counts = Readonly<Record<'rewrapped' | 'replaced' | 'reencrypted' | 'failed', number>>;

/** Stores the progress of a rotation. Fails if another instance continues it. */
export function advanceRotation(
  sql: Pool,
  { id, attempt }: RotationRow,
  place: Place,
  counts: Counts,
  leaseMs: bigint,
  isEnd: boolean,
): PendingQuery<object[]> {
  return sql`
    select advance_key_rotation(
      ${id}, ${attempt}, ${place.phase}, ${place.keyCursor}, ${place.rowKind}, ${place.rowCursor},
      ${counts.rewrapped}, ${counts.replaced}, ${counts.reencrypted}, ${counts.failed}, ${leaseMs}, ${isEnd}
    )
  `;
}

/** A data key, and the current one of its channel. */
export type KeyRow = DataKeyRow & { readonly currentKeyId: bigint };

/** Data keys that the phase of a rotation concerns, from its cursor on. */
export function listKeys(
  sql: Pool,
  { phase, tenantId, channelId, keyId, startedAt, keyCursor }: RotationRow,
  limit: number,
): PendingQuery<KeyRow[]> {
  return sql<KeyRow[]>`
    select id, tenant_id, channel_id, key_id, wrapped_key, current_key_id
    from list_channel_keys(${phase}, ${tenantId}, ${channelId}, ${keyId}, ${startedAt}, ${keyCursor}, ${limit})
  `;
}

export function rewrapKey(
  sql: Pool,
  { id, wrappedKey }: DataKeyRow,
  wrapped: { readonly keyId: string; readonly bytes: Buffer },
): PendingQuery<{ changed: boolean }[]> {
  return sql<{ changed: boolean }[]>`
    select rewrap_channel_key(${id}, ${wrappedKey}, ${wrapped.keyId}, ${wrapped.bytes}) as changed
  `;
}

export function replaceKey(
  sql: Pool,
  oldId: bigint,
  { id, keyId, wrappedKey }: DataKeyRow,
): PendingQuery<{ changed: boolean }[]> {
  return sql<{ changed: boolean }[]>`
    select replace_channel_key(${oldId}, ${id}, ${keyId}, ${wrappedKey}) as changed
  `;
}

/** A row with encrypted content; `id` is that of its message or file, or the `seq` of an event. */
export type EncryptedRow = { readonly id: bigint; readonly part: number; readonly value: Buffer };

/** The same; null for a message whose content is not encrypted, or with another key. */
type ListedRow = Omit<EncryptedRow, 'value'> & { readonly value: Buffer | null };

export function listRows(
  sql: Pool,
  kind: RowKind,
  { channelId }: KeyRow,
  prefix: Buffer,
  after: bigint,
  limit: number,
): PendingQuery<ListedRow[]> {
  return sql<ListedRow[]>`
    select id, part, value from list_encrypted_rows(${kind}, ${channelId}, ${prefix}, ${after}, ${limit})
  `;
}

/** Replaces the values of rows that have not changed since they were read. */
export function replaceRows(
  sql: Pool,
  kind: RowKind,
  channelId: bigint,
  rows: readonly (EncryptedRow & { readonly replacement: Buffer })[],
): PendingQuery<{ replaced: number }[]> {
  return sql<{ replaced: number }[]>`
    select replace_encrypted_rows(
      ${kind},
      ${channelId},
      ${sql.array(
        rows.map(({ id }) => id),
        array.bigint,
      )},
      ${sql.array(
        rows.map(({ part }) => part),
        array.int,
      )},
      ${sql.array(
        rows.map(({ value }) => value),
        array.bytea,
      )},
      ${sql.array(
        rows.map(({ replacement }) => replacement),
        array.bytea,
      )}
    ) as replaced
  `;
}

/** Records that nothing is left that is encrypted with a data key. */
export function finishKey(sql: Pool, id: bigint): PendingQuery<object[]> {
  return sql`select finish_channel_key(${id})`;
}

/** Removes data keys with which nothing has been encrypted for this long. */
export function pruneKeys(sql: Pool, ageMs: bigint, limit: number): PendingQuery<{ pruned: number }[]> {
  return sql<{ pruned: number }[]>`select prune_channel_keys(${ageMs}, ${limit}) as pruned`;
}

/** Number of data keys by the key that encrypts them. */
export function countKeys(sql: Sql): PendingQuery<{ keyId: string; keys: bigint }[]> {
  return sql<{ keyId: string; keys: bigint }[]>`select key_id, keys from count_channel_keys()`;
}
