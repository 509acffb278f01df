import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lruCache } from './lru.ts';

test('a cache that grows keeps the entries that were used last', () => {
  const cache = lruCache<string, number>(3);
  for (const [index, key] of ['a', 'b', 'c'].entries()) cache.set(key, index);
  cache.get('a');
  cache.set('d', 3);
  assert.deepEqual([...cache.keys()], ['d', 'a', 'c']);
});

test('a cache that grows drops an entry when its time is over', () => {
  const cache = lruCache<string, number>(3);
  cache.set('a', 1, { ttl: 1, start: performance.now() - 10 });
  assert.equal(cache.get('a'), undefined);
});
