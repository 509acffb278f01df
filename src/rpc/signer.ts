import { createHmac, createSecretKey, hkdfSync, type KeyObject, timingSafeEqual } from 'node:crypto';

// 128 bits: guessing one takes 2^127 calls on average, and tokens in URLs stay short.
const TAG_BYTES = 16;

/** Authenticates bytes that leave this service and come back: clients cannot make or change them. */
export type Signer = {
  /** The bytes with a tag of `context` and bytes in front. */
  sign(bytes: Uint8Array, context: Uint8Array): Buffer;
  /** The bytes behind the tag; undefined unless one of the keys signed them for this context. */
  verify(signed: Uint8Array, context: Uint8Array): Buffer | undefined;
};

/**
 * A signer (HMAC-SHA-256) for one purpose. The first key signs, all of them verify, so that keys can be rotated. Each
 * purpose has keys of its own, derived with HKDF (RFC 5869): what is signed for one is not valid for another.
 */
export function createSigner(secrets: readonly Uint8Array[], purpose: string): Signer {
  const keys = secrets.map((secret) =>
    createSecretKey(Buffer.from(hkdfSync('sha256', secret, '', `discuss ${purpose}`, 32))),
  );
  const tagOf = (key: KeyObject, bytes: Uint8Array, context: Uint8Array) => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(context.length);
    const hmac = createHmac('sha256', key).update(length).update(context).update(bytes);
    return hmac.digest().subarray(0, TAG_BYTES);
  };
  return {
    sign(bytes, context) {
      const [key] = keys;
      if (key === undefined) throw new Error('a signer needs a key');
      return Buffer.concat([tagOf(key, bytes, context), bytes]);
    },
    verify(signed, context) {
      if (signed.length < TAG_BYTES) return undefined;
      const tag = signed.subarray(0, TAG_BYTES);
      const bytes = signed.subarray(TAG_BYTES);
      const isValid = keys.some((key) => timingSafeEqual(tagOf(key, bytes, context), tag));
      return isValid ? Buffer.from(bytes) : undefined;
    },
  };
}
