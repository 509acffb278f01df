import { test } from 'node:test';
import { testEnv } from '../../test/kit/edge/edges.ts';
import { until } from '../../test/kit/until.ts';
import { toConfig } from '../config.ts';
import { OpenStreams } from './open-streams.ts';

test('a refresh that is due is not postponed by a later request to refresh all streams', async () => {
  const { presence } = toConfig({ ...testEnv, PRESENCE_DEVICE_TTL_MS: '60000', PRESENCE_TTL_MS: '300000' });
  const refreshed = new Map<bigint, number>();
  const streams = new OpenStreams({
    config: presence,
    apply: async (_tenantId, userId) => void refreshed.set(userId, (refreshed.get(userId) ?? 0) + 1),
    isReady: () => true,
  });
  const users = Array.from({ length: 50 }, (_, index) => BigInt(index + 1));
  for (const userId of users) streams.open({ tenantId: 1n, userId }, `device ${userId}`, 'web');
  streams.refreshAllWithin(0);
  streams.refreshAllWithin(3_600_000);
  const isRefreshed = () => users.every((userId) => refreshed.get(userId) === 2);
  await until(isRefreshed, 'the refresh of all streams', 5_000);
  await streams.close();
});
