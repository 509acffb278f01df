import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ResetLimit } from './reset-limit.ts';

describe('ResetLimit', () => {
  for (const { name, isKnown, burst, perSecond } of [
    { name: 'of authenticated callers', isKnown: true, burst: 5_000, perSecond: 500 },
    { name: 'of others', isKnown: false, burst: 1_000, perSecond: 33 },
  ])
    it(`permits ${burst} resets ${name} at once, and ${perSecond} a second`, () => {
      let time = 1_000_000;
      const limit = new ResetLimit(() => time);
      const count = () => {
        let permitted = 0;
        while (!limit.exceeds(isKnown)) permitted += 1;
        return permitted;
      };
      assert.equal(count(), burst);
      assert.ok(count() <= 1);
      time += 10_000;
      const later = count();
      assert.ok(Math.abs(later - 10 * perSecond) <= 2, `${later} after ten seconds`);
    });

  it('counts resets of authenticated callers and of others together', () => {
    const limit = new ResetLimit(() => 0);
    for (let count = 0; count < 500; count += 1) assert.equal(limit.exceeds(false), false);
    for (let count = 0; count < 4_500; count += 1) assert.equal(limit.exceeds(true), false);
    assert.equal(limit.exceeds(true), true);
  });
});
