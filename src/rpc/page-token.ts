import type { DescMessage, MessageInitShape } from '@bufbuild/protobuf';
import { errors } from './errors.ts';
import { countFitting } from './response-size.ts';

type Key = bigint | boolean | null;

/** A page of rows of which one more than `size` was read, and the token of the next page, empty when this is the last. */
export function pageOf<Row>(
  rows: readonly Row[],
  size: number,
  keysOf: (last: Row) => readonly Key[],
): { readonly page: Row[]; readonly nextPageToken: string } {
  const page = rows.slice(0, size);
  const last = page.at(-1);
  const isLastPage = last === undefined || rows.length <= size;
  return { page, nextPageToken: isLastPage ? '' : toPageToken(keysOf(last)) };
}

/** The same for items that a response contains: the page ends earlier where they would not fit in one response. */
export function pageOfItems<Row, Item extends DescMessage>(
  rows: readonly Row[],
  size: number,
  schema: Item,
  toItem: (row: Row) => MessageInitShape<Item>,
  keysOf: (last: Row) => readonly Key[],
): { readonly items: MessageInitShape<Item>[]; readonly nextPageToken: string } {
  const items = rows.slice(0, size).map((row) => toItem(row));
  const count = countFitting(schema, items);
  return { items: items.slice(0, count), nextPageToken: pageOf(rows, count, keysOf).nextPageToken };
}

/** Encodes the order keys of a page's last row as an opaque token. Tokens hold no secret and grant nothing. */
export function toPageToken(keys: readonly Key[]): string {
  return Buffer.from(JSON.stringify(keys.map((key) => (key === null ? null : String(key))))).toString(
    'base64url',
  );
}

/** Decodes a token of `count` keys, or of any number; throws INVALID_ARGUMENT on `page_token` for any other text. */
export function fromPageToken(token: string, count?: number): readonly (bigint | null)[] | undefined {
  if (token === '') return undefined;
  const keys = parse(token);
  if (keys === undefined || keys.length !== (count ?? keys.length))
    throw errors.fieldInvalid('page_token', 'was not returned by this method');
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
