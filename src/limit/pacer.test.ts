import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Pacer } from './pacer.ts';
import { TenantMix } from './tenant-mix.ts';

const callOf = (tenantId: bigint, ended?: Error) => ({
  caller: { kind: 'user' as const, tenantId, userId: 1n, name: '', roles: new Set<string>() },
  signal: new AbortController().signal,
  ended,
});
const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

/** Calls that entered, by tenant, in their order. */
function enterAll(pacer: Pacer, tenantIds: readonly bigint[]): bigint[] {
  const entered: bigint[] = [];
  for (const tenantId of tenantIds) {
    const turn = pacer.enter(callOf(tenantId));
    if (turn === undefined) entered.push(tenantId);
    else
      turn.then(
        () => entered.push(tenantId),
        () => {},
      );
  }
  return entered;
}

describe('Pacer', () => {
  it('lets all calls enter at once while they are of one tenant', () => {
    assert.equal(enterAll(new Pacer(new TenantMix(), 20_000), Array(500).fill(1n)).length, 500);
  });

  it('lets some calls enter in each turn of the event loop, tenant by tenant, while there are several', async () => {
    const entered = enterAll(new Pacer(new TenantMix(), 20_000), [2n, ...Array(100).fill(1n), 3n, 2n]);
    assert.ok(entered.length < 50, `${entered.length} at once`);
    const atOnce = entered.length;
    await nextTurn();
    assert.ok(entered.length > atOnce && entered.length < 100, `${entered.length} after a turn`);
    assert.deepEqual(new Set(entered), new Set([1n, 2n, 3n]));
    while (entered.length < 103) await nextTurn();
    assert.deepEqual(entered.slice(-50), Array(50).fill(1n));
  });

  it('lets the first calls of a tenant in a turn enter at once, while those of another wait', async () => {
    const pacer = new Pacer(new TenantMix(), 20_000);
    const entered = enterAll(pacer, [1n, ...Array(400).fill(2n)]);
    await nextTurn();
    const before = entered.length;
    assert.deepEqual(enterAll(pacer, [3n, 3n, 3n, 3n]), [3n, 3n, 3n]);
    assert.equal(entered.length, before);
    assert.ok(before < 100, `${before}`);
  });

  it('lets all calls enter within some turns, however many wait', async () => {
    const entered = enterAll(new Pacer(new TenantMix(), 20_000), [2n, ...Array(10_000).fill(1n)]);
    for (let turn = 0; turn < 100; turn += 1) await nextTurn();
    assert.equal(entered.length, 10_001);
  });

  it('rejects the newest call of the tenant with the most, when too many wait', async () => {
    const pacer = new Pacer(new TenantMix(), 20);
    enterAll(pacer, [2n, ...Array(23).fill(1n)]);
    const other = pacer.enter(callOf(3n));
    const last = pacer.enter(callOf(1n));
    await assert.rejects(Promise.resolve(last), { reasonName: 'OVERLOADED' });
    await other;
  });

  it('does not count calls that have ended', async () => {
    const pacer = new Pacer(new TenantMix(), 20_000);
    const entered = enterAll(pacer, [2n, ...Array(20).fill(1n)]);
    let ended = 0;
    for (let count = 0; count < 400; count += 1)
      void pacer.enter(callOf(1n, new Error('deadline')))?.then(() => {
        ended += 1;
      });
    const last = enterAll(pacer, [1n]);
    for (let turn = 0; turn < 15; turn += 1) await nextTurn();
    assert.deepEqual([entered.length, ended, last.length], [21, 400, 1]);
  });
});
