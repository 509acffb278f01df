import assert from 'node:assert/strict';
import { once } from 'node:events';
import { it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Cluster } from 'ioredis';
import { pino } from 'pino';
import { startRedisCluster } from '../../scripts/lib/redis-cluster.ts';
import { openRedis } from './client.ts';

const REFRESH_MS = 20;

it('a cluster client that is closed during a refresh of its slots refreshes no more', async () => {
  const nodes = await startRedisCluster();
  try {
    const urls = nodes.url.split(',').map((url) => new URL(url));
    const client = openRedis(
      { urls, cluster: true, responseTimeoutMs: 4_000 },
      pino({ level: 'silent' }),
      REFRESH_MS,
    );
    assert.ok(client instanceof Cluster);
    await once(client, 'ready');
    let refreshes = 0;
    const refresh = client.refreshSlotsCache.bind(client);
    const closed = once(client, 'end');
    client.refreshSlotsCache = (done) => {
      refreshes += 1;
      refresh(done);
      client.disconnect();
    };
    await closed;
    await sleep(10 * REFRESH_MS);
    assert.equal(refreshes, 1);
  } finally {
    await nodes.close();
  }
});
