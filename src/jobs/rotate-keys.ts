import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Config } from '../config.ts';
import type { Pool } from '../db/types.ts';
import type { Encryption } from '../encryption/encryption.ts';
import { prefixOf } from '../encryption/envelope.ts';
import {
  advanceRotation,
  type Counts,
  claimRotation,
  finishKey,
  type KeyRow,
  listKeys,
  listRows,
  type Place,
  pruneKeys,
  type RotationRow,
  type RowKind,
  replaceKey,
  replaceRows,
  rewrapKey,
} from './key-sql.ts';
import { reencrypt } from './reencrypt.ts';

const LEASE_MS = 60_000n;
const KEYS = 50;
const ROWS = 200;
const PRUNED_KEYS = 1_000;
const KINDS: readonly RowKind[] = ['messages', 'message_edits', 'attachments', 'channel_events'];
const NONE: Counts = { rewrapped: 0, replaced: 0, reencrypted: 0, failed: 0 };
const HOUR_MS = 3_600_000n;

export type RotateParts = {
  readonly pool: Pool;
  readonly encryption: Encryption;
  readonly config: Config;
  readonly log: Logger;
  readonly isClosed: () => boolean;
};

/** What a batch did, and where the rotation continues; undefined at its end. */
type Step = { readonly counts: Partial<Counts>; readonly next: Place | undefined };

/**
 * Works on the rotation of keys, if no other instance does, until it ends. Each batch is bounded and repeatable: what it
 * has changed is not changed again. The pauses between batches are as long as the batches.
 */
export async function rotateKeys(parts: RotateParts): Promise<void> {
  const { pool, encryption, config, isClosed } = parts;
  const { currentKeyId } = encryption.keyEncryption;
  if (currentKeyId === undefined) return;
  await pruneKeys(pool, BigInt(config.write.requestIdHours) * HOUR_MS, PRUNED_KEYS);
  const [claimed] = await claimRotation(pool, config.instance, currentKeyId, LEASE_MS);
  let rotation = claimed;
  while (rotation !== undefined && !isClosed()) {
    const start = performance.now();
    const { counts, next } = await step(parts, rotation);
    await advanceRotation(
      pool,
      rotation,
      next ?? rotation,
      { ...NONE, ...counts },
      LEASE_MS,
      next === undefined,
    );
    const failed = rotation.failed + BigInt(counts.failed ?? 0);
    rotation = next === undefined ? undefined : { ...rotation, ...next, failed };
    await sleep(performance.now() - start);
  }
}

function step(parts: RotateParts, rotation: RotationRow): Promise<Step> {
  switch (rotation.phase) {
    case 'WRAP':
      return rewrap(parts, rotation);
    case 'REPLACE':
      return replace(parts, rotation);
    case 'ENCRYPT':
      return encrypt(parts, rotation);
  }
}

function placeOf(phase: Place['phase'], keyCursor = 0n): Place {
  return { phase, keyCursor, rowKind: 'messages', rowCursor: 0n };
}

async function rewrap({ pool, encryption, log }: RotateParts, rotation: RotationRow): Promise<Step> {
  const rows = await listKeys(pool, rotation, KEYS);
  let [rewrapped, failed] = [0, 0];
  for (const row of rows)
    try {
      const [result] = await rewrapKey(pool, row, await encryption.keys.rewrap(row));
      if (result?.changed === true) rewrapped += 1;
    } catch (error) {
      log.warn({ err: error, dataKeyId: `${row.id}` }, 'a data key cannot be encrypted with another key');
      failed += 1;
    }
  const last = rows.at(-1);
  if (last !== undefined) return { counts: { rewrapped, failed }, next: placeOf('WRAP', last.id) };
  return { counts: {}, next: rotation.replacesKeys ? placeOf('REPLACE') : undefined };
}

async function replace({ pool, encryption }: RotateParts, rotation: RotationRow): Promise<Step> {
  const rows = await listKeys(pool, rotation, KEYS);
  let replaced = 0;
  for (const { id, tenantId, channelId } of rows) {
    const created = await encryption.keys.wrapNew(pool, tenantId, channelId);
    const [result] = await replaceKey(pool, id, created);
    if (result?.changed === true) replaced += 1;
    encryption.forget(channelId);
  }
  const last = rows.at(-1);
  return {
    counts: { replaced },
    next: last === undefined ? placeOf('ENCRYPT') : placeOf('REPLACE', last.id),
  };
}

/** Encrypts a batch of rows of one channel and table with the channel's current key. */
async function encrypt(parts: RotateParts, rotation: RotationRow): Promise<Step> {
  const [key] = await listKeys(parts.pool, rotation, 1);
  if (key === undefined) return { counts: {}, next: undefined };
  const { keys } = parts.encryption;
  await keys.load([key.id, key.currentKeyId]);
  const [from, to] = [keys.get(key.id), keys.get(key.currentKeyId)];
  if (typeof from !== 'object' || typeof to !== 'object')
    return { counts: { failed: 1 }, next: placeOf('ENCRYPT', key.id) };
  const { rowKind, rowCursor } = rotation;
  const rows = await listRows(parts.pool, rowKind, key, prefixOf(from), rowCursor, ROWS);
  const results = rows.flatMap(({ value, ...row }) => {
    if (value === null) return [];
    const stored = { ...row, value };
    return [{ ...stored, replacement: reencrypt(rowKind, from, to, stored) }];
  });
  const failed = results.filter(({ replacement }) => replacement === undefined).length;
  const changed = results.flatMap(({ replacement, ...row }) =>
    replacement === undefined || replacement.equals(row.value) ? [] : [{ ...row, replacement }],
  );
  const [result] = changed.length === 0 ? [] : await replaceRows(parts.pool, rowKind, key.channelId, changed);
  const counts = { reencrypted: result?.replaced ?? 0, failed };
  const last = rows.at(-1);
  if (last !== undefined) return { counts, next: { ...rotation, rowCursor: last.id } };
  return { counts, next: await nextKind(parts, rotation, key) };
}

async function nextKind({ pool }: RotateParts, rotation: RotationRow, key: KeyRow): Promise<Place> {
  const kind = KINDS[KINDS.indexOf(rotation.rowKind) + 1];
  if (kind !== undefined) return { ...rotation, rowKind: kind, rowCursor: 0n };
  // A rotation with errors keeps the keys: what is still encrypted with one may be readable later.
  if (rotation.failed === 0n) await finishKey(pool, key.id);
  return placeOf('ENCRYPT', key.id);
}
