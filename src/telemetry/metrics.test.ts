import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLogger } from './log.ts';
import { createMetrics, openMetricsServer } from './metrics.ts';

test('metrics and health are served over HTTP', async () => {
  const metrics = createMetrics();
  let isReady = true;
  const server = await openMetricsServer('127.0.0.1:0', metrics, () => isReady);
  metrics.eventsDelivered.inc(3);
  const text = await (await fetch(`http://${server.address}/metrics`)).text();
  assert.match(text, /^discuss_events_delivered_total 3$/m);
  assert.match(text, /^process_cpu_seconds_total/m);
  assert.equal((await fetch(`http://${server.address}/readyz`)).status, 200);
  isReady = false;
  assert.equal((await fetch(`http://${server.address}/readyz`)).status, 503);
  assert.equal((await fetch(`http://${server.address}/livez`)).status, 200);
  assert.equal((await fetch(`http://${server.address}/else`)).status, 404);
  await server.close();
  await assert.rejects(fetch(`http://${server.address}/livez`));
});

test('tokens and rows are redacted in the log', () => {
  const lines: string[] = [];
  const log = createLogger('info', { write: (line) => void lines.push(line) });
  const err = Object.assign(new Error('duplicate key'), {
    detail: 'Key (content)=(hush) already exists.',
    where: 'hush',
  });
  log.error({ err: Object.assign(new Error('outer', { cause: err }), { detail: 'hush' }) }, 'failed');
  log.error({ err }, 'failed');
  log.info(
    { authorization: 'Bearer hush', headers: { authorization: 'Bearer hush' }, token: 'hush' },
    'call',
  );
  assert.equal(lines.length, 3);
  assert.match(lines[1] ?? '', /duplicate key/);
  assert.doesNotMatch(lines.join(), /hush/);
});
