import type { KeyObject } from 'node:crypto';
import type { NamedKey } from '../settings/reader.ts';
import { decrypt, encrypt } from './cipher.ts';

/** A data key as it is stored: encrypted with the key `keyId`. */
export type WrappedKey = { readonly keyId: string; readonly bytes: Buffer };

/**
 * Encrypts data keys with keys that never leave it: those of the configuration, or of a key management service. `context`
 * is authenticated and not stored. Rejects with `KeyUnavailable` where the key is missing or cannot be used.
 */
export type KeyEncryption = {
  /** Name of the key that `wrap` uses; undefined if there is none. */
  readonly currentKeyId: string | undefined;
  wrap(key: Buffer, context: Buffer): Promise<WrappedKey>;
  unwrap(wrapped: WrappedKey, context: Buffer): Promise<Buffer>;
};

/** The key is missing, is another one of the same name, or its service cannot be reached. */
export class KeyUnavailable extends Error {
  override name = 'KeyUnavailable';
}

/** Uses the keys of the configuration, the first of which encrypts. */
export function localKeyEncryption(keys: readonly NamedKey[]): KeyEncryption {
  const byId = new Map<string, KeyObject>(keys.map(({ id, key }) => [id, key]));
  const currentKeyId = keys[0]?.id;
  const find = (id: string | undefined) => {
    const key = id === undefined ? undefined : byId.get(id);
    if (key === undefined) throw new KeyUnavailable(`ENCRYPTION_KEYS has no key ${id ?? ''}`);
    return key;
  };
  return {
    currentKeyId,
    async wrap(key, context) {
      return { keyId: currentKeyId ?? '', bytes: encrypt(find(currentKeyId), key, context) };
    },
    async unwrap({ keyId, bytes }, context) {
      const key = decrypt(find(keyId), bytes, context);
      if (key === undefined) throw new KeyUnavailable(`the key ${keyId} does not decrypt a data key`);
      return key;
    },
  };
}
