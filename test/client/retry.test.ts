import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ApiError } from '../../client/src/api-error.ts';
import { delayMs, isTemporary } from '../../client/src/retry.ts';

test('a call is repeated after the delay that the service states, also if its code alone would end it', () => {
  const limited = new ApiError('limit reached', 'resource_exhausted', { retryDelayMs: 5_000 });
  assert.ok(isTemporary(limited));
  assert.ok(delayMs(limited, 0) >= 5_000);
  assert.ok(!isTemporary(new ApiError('too large', 'resource_exhausted')));
});

test('delays without a statement of the service double up to half a minute, with a random half', () => {
  const error = new ApiError('offline', 'unavailable');
  for (const [attempt, most] of [
    [0, 200],
    [1, 400],
    [5, 6_400],
    [20, 30_000],
  ] as const) {
    const delay = delayMs(error, attempt);
    assert.ok(delay >= most / 2 && delay <= most, `${attempt}: ${delay}`);
  }
});
