import type { KeyObject } from 'node:crypto';
import { decrypt, encrypt } from './cipher.ts';

/** A key of one channel, decrypted. */
export type DataKey = {
  readonly id: bigint;
  readonly tenantId: bigint;
  readonly channelId: bigint;
  readonly key: KeyObject;
  /** For hashes of requests: an attacker who knows a hash could otherwise try texts. */
  readonly hashKey: KeyObject;
};

/** What encrypted bytes are: the row and the column that may contain them. */
export type Place = { readonly field: 'content' | 'file_name'; readonly id: bigint };

const VERSION = 1;
const HEADER_BYTES = 9;

/**
 * Encrypts a field of a row: a byte for the version of this format, the id of the data key, and the ciphertext, which is
 * bound to tenant, channel, row and field, so that it is not valid anywhere else.
 */
export function seal(key: DataKey, place: Place, plaintext: Uint8Array): Buffer {
  return Buffer.concat([prefixOf(key), encrypt(key.key, plaintext, contextOf(key, place))]);
}

/** Undefined unless these bytes were encrypted with the key for this place. */
export function unseal(key: DataKey, place: Place, sealed: Uint8Array): Buffer | undefined {
  if (keyIdOf(sealed) !== key.id) return undefined;
  return decrypt(key.key, sealed.subarray(HEADER_BYTES), contextOf(key, place));
}

/** How everything begins that is encrypted with a key. */
export function prefixOf({ id }: Pick<DataKey, 'id'>): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt8(VERSION);
  header.writeBigInt64BE(id, 1);
  return header;
}

/** Id of the data key of encrypted bytes; undefined if they are not of this format. */
export function keyIdOf(sealed: Uint8Array): bigint | undefined {
  if (sealed.length < HEADER_BYTES || sealed[0] !== VERSION) return undefined;
  return Buffer.from(sealed.buffer, sealed.byteOffset, sealed.length).readBigInt64BE(1);
}

function contextOf({ tenantId, channelId }: DataKey, { field, id }: Place): Buffer {
  return Buffer.from(`${VERSION}:${tenantId}:${channelId}:${field}:${id}`);
}
