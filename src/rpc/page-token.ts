import { errors } from './errors.ts';

/** Makes an opaque page token of the last row's order keys. Tokens hold no secret and grant nothing. */
export function toPageToken(keys: readonly (bigint | boolean | null)[]): string {
  return Buffer.from(JSON.stringify(keys.map((key) => (key === null ? null : String(key))))).toString(
    'base64url',
  );
}

/** Reads a token back; `count` keys, or the call is refused as INVALID_ARGUMENT on `page_token`. */
export function fromPageToken(token: string, count: number): readonly (bigint | null)[] | undefined {
  if (token === '') return undefined;
  const keys = parse(token);
  if (keys?.length !== count) throw errors.fieldInvalid('page_token', 'is not a token this method gave out');
  return keys;
}

function parse(token: string): (bigint | null)[] | undefined {
  try {
    const keys: unknown = JSON.parse(Buffer.from(token, 'base64url').toString());
    if (!Array.isArray(keys)) return undefined;
    return keys.map((key: unknown) => {
      if (key === null) return null;
      if (key === 'true') return 1n;
      if (key === 'false') return 0n;
      if (typeof key !== 'string' || !/^-?\d{1,19}$/.test(key)) throw new TypeError('key');
      return BigInt.asIntN(64, BigInt(key));
    });
  } catch {
    return undefined;
  }
}
