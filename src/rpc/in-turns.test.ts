import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../../test/kit/until.ts';
import { everyInTurns } from './in-turns.ts';

test('a round of long work is interrupted for other work, which may add and remove items', async () => {
  const items = new Set(['a', 'b', 'c', 'd']);
  const seen: string[] = [];
  const timer = everyInTurns(
    1,
    () => items,
    (item) => {
      seen.push(item);
      busy(2);
      if (item !== 'a') return;
      clearInterval(timer);
      setImmediate(() => {
        items.delete('b');
        items.add('e');
      });
    },
  );
  await until(() => seen.includes('e'));
  assert.deepEqual(seen, ['a', 'c', 'd', 'e']);
});

test('a round starts when the one before has ended', async () => {
  let isRunning = false;
  let rounds = 0;
  function* items() {
    assert.equal(isRunning, false);
    isRunning = true;
    yield* [1, 2, 3];
    isRunning = false;
    rounds += 1;
  }
  const timer = everyInTurns(1, items, () => busy(2));
  await until(() => rounds >= 3);
  clearInterval(timer);
});

function busy(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end);
}
