import { createHash } from 'node:crypto';
import { EXPORT_PREFIX } from './file.ts';

/** What the audit log states of an object with exported messages. */
export type ExportedObject = {
  readonly location: string;
  readonly sha256: string;
  readonly byte_count: number;
};

const HASH_LENGTH = 16;
const KEY = /^(exports\/\d+\/\d{4}-\d{2}\/(\d+)\/[\d-]+)\.[0-9a-f]+\.ndjson$/;

/** The folder of a month of a channel. */
export function folderOf(tenantId: bigint, month: string, channelId: bigint): string {
  return `${EXPORT_PREFIX}${tenantId}/${month}/${channelId}/`;
}

/**
 * The key of an object, and what the audit log states of it. The key contains a hash of the bytes, so that objects are never
 * overwritten: an instance that was thought to have ended cannot replace what another one has exported.
 */
export function describeObject(
  bucket: string,
  stem: string,
  body: Buffer,
): { key: string; object: ExportedObject } {
  const sha256 = createHash('sha256').update(body).digest('hex');
  const key = `${stem}.${sha256.slice(0, HASH_LENGTH)}.ndjson`;
  return { key, object: { location: `s3://${bucket}/${key}`, sha256, byte_count: body.length } };
}

/** The channel of an object, and its key without hash; undefined for other objects, such as files. */
export function parseKey(key: string): { channelId: bigint; stem: string } | undefined {
  const [, stem, channelId] = KEY.exec(key) ?? [];
  return stem === undefined || channelId === undefined ? undefined : { channelId: BigInt(channelId), stem };
}

/** The key of a location in a bucket; undefined for another bucket, and for no location. */
export function keyOf(bucket: string, location: string): string | undefined {
  const start = `s3://${bucket}/`;
  return location.startsWith(start) ? location.slice(start.length) : undefined;
}
