import assert from 'node:assert/strict';
import { test } from 'node:test';
import { guard } from './guard.ts';
import { createLogger } from './log.ts';
import { createMetrics } from './metrics.ts';

test('a guarded listener logs and counts an exception instead of throwing it', async () => {
  const lines: string[] = [];
  const log = createLogger('error', { write: (line) => void lines.push(line) });
  const metrics = createMetrics();
  const failed: unknown[] = [];
  const cause = new Error('defect');
  const listener = guard(
    'relay',
    { log, metrics },
    (text: string) => {
      if (text === 'bad') throw cause;
    },
    (error, text) => void failed.push([error, text]),
  );
  listener('good');
  listener('bad');
  assert.deepEqual(failed, [[cause, 'bad']]);
  assert.equal(lines.length, 1);
  const { values } = await metrics.listenerErrors.get();
  assert.deepEqual(
    values.map(({ labels, value }) => [labels.listener, value]),
    [['relay', 1]],
  );
});
