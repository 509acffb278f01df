import { type DataKey, type Place, seal, unseal } from '../encryption/envelope.ts';
import { resealEvent } from '../event/log/encrypted.ts';
import type { EncryptedRow, RowKind } from './key-sql.ts';

/**
 * The value of a row, encrypted with another key; the same value if it is not encrypted with the first one, undefined if it
 * cannot be decrypted.
 */
export function reencrypt(
  kind: RowKind,
  from: DataKey,
  to: DataKey,
  { id, value }: EncryptedRow,
): Buffer | undefined {
  const reseal = (place: Place, sealed: Uint8Array) => {
    const plaintext = unseal(from, place, sealed);
    return plaintext === undefined ? undefined : seal(to, place, plaintext);
  };
  switch (kind) {
    case 'messages':
    case 'message_edits':
      return reseal({ field: 'content', id }, value);
    case 'attachments':
      return reseal({ field: 'file_name', id }, value);
    case 'channel_events':
      return resealEvent(value, from.id, reseal);
  }
}
