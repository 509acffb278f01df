import { create, type DescMessage, type MessageInitShape, toBinary, toJsonString } from '@bufbuild/protobuf';
import { detailTypes } from './status.ts';

/** Maximum size of a response or a message of a stream, in every codec. Clients accept 4 MiB by default. */
export const MAX_RESPONSE_BYTES = 3_000_000;

/**
 * Of the items of a page, which may be less: the next one has the others. Reading, encoding and sending a megabyte takes the
 * event loop some 8 ms, in which it serves no other call.
 */
export const MAX_PAGE_BYTES = 1_000_000;
/** Of the items of a list without pages. Besides them, a response contains at most one message and a token. */
export const MAX_ITEM_BYTES = MAX_RESPONSE_BYTES - 400_000;
// Tag and length, or a comma.
const SEPARATOR_BYTES = 8;
// A number may be an enum, which JSON names.
const SCALAR_BYTES = 64;
// Of longer texts the escapes are counted. For shorter ones that would cost more than a high bound.
const SHORT_TEXT = 256;
// Of larger items nearly all is text, so that the bound is close.
const SMALL_ITEM_BYTES = 8_192;
const ESCAPED = /["\\\p{Cc}]/gu;

/** Number of items, from the first on, that fit in a page of this size; at least one of them. */
export function countFitting<Item extends DescMessage>(
  schema: Item,
  items: readonly MessageInitShape<Item>[],
  limit = MAX_PAGE_BYTES,
): number {
  // Nearly all pages are far below the maximum, and encoding an item for its size would cost as much as sending it.
  const bounds = items.map(maxBytes);
  if (bounds.reduce((sum, bound) => sum + bound, 0) <= limit) return items.length;
  let bytes = 0;
  for (const [index, item] of items.entries()) {
    bytes += itemBytes(schema, item, bounds[index] ?? 0) + SEPARATOR_BYTES;
    if (bytes > limit && index > 0) return index;
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

function itemBytes<Item extends DescMessage>(
  schema: Item,
  item: MessageInitShape<Item>,
  bound: number,
): number {
  return bound <= SMALL_ITEM_BYTES ? encodedBytes(schema, item) : bound;
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
  if (typeof value === 'string') return maxTextBytes(value) + 8;
  if (typeof value !== 'object' || value === null) return SCALAR_BYTES;
  // Base64 in JSON.
  if (value instanceof Uint8Array) return 2 * value.length + 8;
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

function maxTextBytes(text: string): number {
  // A control character is six bytes in JSON.
  if (text.length <= SHORT_TEXT) return 6 * text.length;
  return Buffer.byteLength(text) + 5 * (text.match(ESCAPED)?.length ?? 0);
}
