import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bearer, jsonMessage, openEdges, type TestEdges } from '../../../test/kit/edge/edges.ts';

test('an exception in the listener of requests ends only that request, and is logged and counted', async () => {
  let isDefect = false;
  await using edges = await openEdges({}, {}, Date.now, (api) => ({
    ...api,
    get pending() {
      if (isDefect) throw new Error('defect');
      return api.pending;
    },
  }));
  assert.equal((await write(edges)).status, 200);
  isDefect = true;
  await assert.rejects(write(edges));
  isDefect = false;
  assert.equal((await write(edges)).status, 200);
  const lines = edges.log.filter(({ msg }) => msg === 'exception in a listener');
  assert.deepEqual(
    lines.map(({ listener }) => listener),
    ['web'],
  );
  const { values } = await edges.metrics.listenerErrors.get();
  assert.deepEqual(
    values.map(({ labels, value }) => [labels.listener, value]),
    [['web', 1]],
  );
});

function write({ web, token }: TestEdges): Promise<Response> {
  return fetch(`http://${web.address}/test.EchoService/Write`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...bearer(token).headers },
    body: jsonMessage,
  });
}
