import { create, type DescMessage, type MessageInitShape, toBinary, toJsonString } from '@bufbuild/protobuf';
import { detailTypes } from './status.ts';

/** Maximum size of a response or a message of a stream, in every codec. Clients accept 4 MiB by default. */
export const MAX_RESPONSE_BYTES = 3_000_000;

// Besides its items, a response contains at most one message and a token.
const MAX_ITEM_BYTES = MAX_RESPONSE_BYTES - 400_000;
// Tag and length, or a comma.
const SEPARATOR_BYTES = 8;
// A number may be an enum, which JSON names.
const SCALAR_BYTES = 64;

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

/** The same for items before and after a place, both in order: those nearest to it. */
export function countAround<Item extends DescMessage>(
  schema: Item,
  before: readonly MessageInitShape<Item>[],
  after: readonly MessageInitShape<Item>[],
): { readonly before: number; readonly after: number } {
  const nearest = [
    ...after.map((item, index) => ({ item, isBefore: false, distance: 2 * index })),
    ...before.map((item, index) => ({ item, isBefore: true, distance: 2 * (before.length - index) - 1 })),
  ].toSorted((a, b) => a.distance - b.distance);
  const items = nearest.map(({ item }) => item);
  const fitting = nearest.slice(0, countFitting(schema, items));
  const count = fitting.filter(({ isBefore }) => isBefore).length;
  return { before: count, after: fitting.length - count };
}

function encodedBytes<Item extends DescMessage>(schema: Item, item: MessageInitShape<Item>): number {
  const message = create(schema, item);
  return Math.max(
    toBinary(schema, message).length,
    Buffer.byteLength(toJsonString(schema, message, { registry: detailTypes })),
  );
}

/** An upper bound of a value's size in every codec. It takes 20 µs for a page of 50 messages, and encoding them 290 µs. */
function maxBytes(value: unknown): number {
  // A control character is six bytes in JSON.
  if (typeof value === 'string') return 6 * value.length + 8;
  if (typeof value !== 'object' || value === null) return SCALAR_BYTES;
  let bytes = 8;
  if (Array.isArray(value)) {
    for (const item of value) bytes += maxBytes(item);
    return bytes;
  }
  for (const key in value) {
    const item: unknown = Reflect.get(value, key);
    if (item !== undefined) bytes += 6 * key.length + 8 + maxBytes(item);
  }
  return bytes;
}
