import { create, type DescMessage, type MessageInitShape, toBinary, toJsonString } from '@bufbuild/protobuf';

/** Maximum size of a response or a message of a stream, in every codec. Clients accept 4 MiB by default. */
export const MAX_RESPONSE_BYTES = 3_000_000;

// Besides its items, a response contains at most one message and a token.
const MAX_ITEM_BYTES = MAX_RESPONSE_BYTES - 400_000;
// Tag and length, or a comma.
const SEPARATOR_BYTES = 8;

/** Number of items, from the first on, that fit in one response; at least one of them. */
export function countFitting<Item extends DescMessage>(
  schema: Item,
  items: readonly MessageInitShape<Item>[],
): number {
  // Nearly all pages are far below the maximum, and encoding an item for its size would cost as much as sending it.
  if (maxBytes(items) <= MAX_ITEM_BYTES) return items.length;
  let bytes = 0;
  for (const [index, item] of items.entries()) {
    bytes += encodedBytes(schema, item) + SEPARATOR_BYTES;
    if (bytes > MAX_ITEM_BYTES && index > 0) return index;
  }
  return items.length;
}

function encodedBytes<Item extends DescMessage>(schema: Item, item: MessageInitShape<Item>): number {
  const message = create(schema, item);
  return Math.max(toBinary(schema, message).length, Buffer.byteLength(toJsonString(schema, message)));
}

/** An upper bound of a value's size in every codec. */
function maxBytes(value: unknown): number {
  switch (typeof value) {
    case 'undefined':
      return 0;
    case 'string':
      // A control character is six bytes in JSON.
      return 6 * value.length + 8;
    case 'bigint':
      return 24;
    case 'object':
      return maxObjectBytes(value);
    default:
      // A number may be an enum, which JSON names.
      return 64;
  }
}

function maxObjectBytes(value: object | null): number {
  let bytes = 8;
  if (value === null) return bytes;
  for (const [key, item] of Object.entries(value)) bytes += 6 * key.length + 8 + maxBytes(item);
  return bytes;
}
