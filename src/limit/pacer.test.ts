import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Pacer } from './pacer.ts';
import { TenantMix } from './tenant-mix.ts';

const callerOf = (tenantId: bigint) => ({
  kind: 'user' as const,
  tenantId,
  userId: 1n,
  name: '',
  roles: new Set<string>(),
});
const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

/** Calls that entered, by tenant, in their order. */
function enterAll(pacer: Pacer, tenantIds: readonly bigint[]): bigint[] {
  const entered: bigint[] = [];
  for (const tenantId of tenantIds) {
    const turn = pacer.enter(callerOf(tenantId));
    if (turn === undefined) entered.push(tenantId);
    else void turn.then(() => entered.push(tenantId));
  }
  return entered;
}

describe('Pacer', () => {
  it('lets all calls enter at once while they are of one tenant', () => {
    assert.equal(enterAll(new Pacer(new TenantMix()), Array(500).fill(1n)).length, 500);
  });

  it('lets some calls enter in each turn of the event loop, tenant by tenant, while there are several', async () => {
    const entered = enterAll(new Pacer(new TenantMix()), [2n, ...Array(100).fill(1n), 3n, 2n]);
    assert.ok(entered.length < 50, `${entered.length} at once`);
    const atOnce = entered.length;
    await nextTurn();
    assert.ok(entered.length > atOnce && entered.length < 100, `${entered.length} after a turn`);
    assert.deepEqual(new Set(entered), new Set([1n, 2n, 3n]));
    while (entered.length < 103) await nextTurn();
    assert.deepEqual(entered.slice(-50), Array(50).fill(1n));
  });
});
