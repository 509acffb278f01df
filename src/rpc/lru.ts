import { LRUCache } from 'lru-cache';

/**
 * A cache of the `max` entries that were used last. `new LRUCache({ max })` allocates all of its memory at once: 13 ms and
 * 1.7 MB for 100,000 entries. This one grows as it fills.
 */
export function lruCache<K extends NonNullable<unknown>, V extends NonNullable<unknown>>(
  max: number,
): LRUCache<K, V> {
  return new LRUCache<K, V>({ maxSize: max, sizeCalculation: () => 1 });
}
