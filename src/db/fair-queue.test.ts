import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FairQueue } from './fair-queue.ts';

const filled = (limit: number, work: readonly (readonly [bigint, string])[]) => {
  const queue = new FairQueue<string>(limit);
  const dropped = work.map(([tenant, name]) => queue.push(tenant, name));
  return { queue, dropped };
};
const drain = (queue: FairQueue<string>) => Array.from({ length: queue.size }, () => queue.shift());

describe('FairQueue', () => {
  it('serves tenants in turn, each in its own order', () => {
    const { queue } = filled(100, [
      ...Array.from({ length: 5 }, (_, index) => [1n, `a${index}`] as const),
      [2n, 'b0'],
      [3n, 'c0'],
      [2n, 'b1'],
    ]);
    assert.deepEqual(drain(queue), ['a0', 'b0', 'c0', 'a1', 'b1', 'a2', 'a3', 'a4']);
    assert.equal(queue.shift(), undefined);
  });

  it('drops, when full, the newest item of the tenant with the most items', () => {
    const { queue, dropped } = filled(4, [
      [1n, 'a0'],
      [1n, 'a1'],
      [1n, 'a2'],
      [1n, 'a3'],
      [2n, 'b0'],
      [1n, 'a4'],
      [2n, 'b1'],
      [2n, 'b2'],
      [3n, 'c0'],
    ]);
    assert.deepEqual(dropped, [undefined, undefined, undefined, undefined, 'a3', 'a4', 'a2', 'b2', 'a1']);
    assert.deepEqual(drain(queue), ['a0', 'b0', 'c0', 'b1']);
  });

  it('does not serve deleted items', () => {
    const { queue } = filled(3, [
      [1n, 'a0'],
      [1n, 'a1'],
      [2n, 'b0'],
    ]);
    queue.delete(1n, 'a0');
    queue.delete(1n, 'a0');
    queue.delete(2n, 'b0');
    assert.equal(queue.size, 1);
    assert.deepEqual(drain(queue), ['a1']);
  });
});
