import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { PresenceStatus } from '#gen/serp/discuss/v1/presence_pb.ts';
import { PresenceService } from '#gen/serp/discuss/v1/presence_service_pb.ts';
import { type App, type As, app as startApp } from './kit/app.ts';
import { freshRedis } from './kit/redis.ts';
import { Subscriber } from './kit/stream.ts';
import { until } from './kit/until.ts';

const { OFFLINE, ONLINE, UNKNOWN } = PresenceStatus;
const user = (id: number): As => ({ userId: BigInt(id), tenantId: 1n });
// Enough users that each node stores some of them.
const others = Array.from({ length: 24 }, (_, index) => user(index + 2));
const userIds = others.map(({ userId }) => userId);

describe('presence on a Redis Cluster of three nodes', () => {
  let app: App;
  const streams: Subscriber[] = [];

  before(async () => {
    // Absence is uncertain for three times the last value; each instance notices within 1.25 s that a node is back.
    app = await startApp(
      { PRESENCE_DEBOUNCE_MS: '50', PRESENCE_POLL_MS: '200', PRESENCE_RECOVERY_MS: '1500' },
      () => freshRedis(true),
    );
    await app.start();
  });
  after(async () => {
    await Promise.all(streams.map((stream) => stream.disconnect()));
    await app.close();
  });

  const subscribe = async (as: As, instance: number) => {
    const stream = new Subscriber(app.client(EventService, as, 'grpc', instance));
    streams.push(stream);
    return stream.connect();
  };
  const readStatuses = async () => {
    const response = await app.client(PresenceService, user(1)).getPresence({ userIds });
    return response.users.map(({ status }) => status);
  };

  it('presence and typing are broadcast for users of all nodes', async () => {
    const { channel } = await app.client(ChannelService, user(1)).createChannel({
      name: 'Cụm',
      memberUserIds: userIds,
    });
    const watching = await subscribe(user(1), 0);
    await Promise.all(others.map((as, index) => subscribe(as, index % 2)));
    await until(() => userIds.every((userId) => watching.statuses(userId).at(-1) === ONLINE));
    assert.deepEqual(new Set(await readStatuses()), new Set([ONLINE]));
    const { entries } = await app.client(ChannelService, user(1)).listChannels({});
    assert.equal(entries.find((entry) => entry.channel?.id === channel?.id)?.onlineMemberCount, 25);
    const client = app.client(PresenceService, user(2), 'grpc', 1);
    await client.startTyping({ channelId: channel?.id ?? 0n });
    await until(() => watching.count('typing') === 1);
  });

  it('users of a dead node are UNKNOWN, and are not reported as OFFLINE when it is back', async () => {
    await app.redis.stop(0);
    await until(async () => new Set(await readStatuses()).size === 2, 'a response without the dead node');
    const statuses = await readStatuses();
    assert.ok(
      statuses.includes(UNKNOWN) && statuses.includes(ONLINE) && !statuses.includes(OFFLINE),
      `${statuses}`,
    );
    await subscribe(user(2), 0);
    await subscribe(user(3), 1);
    await Promise.all(others.map((as) => app.client(PresenceService, as).heartbeat({ device: { id: 'x' } })));
    await app.redis.start(0);
    const reported = new Set<PresenceStatus>();
    await until(async () => {
      const now = await readStatuses();
      for (const status of now) reported.add(status);
      return now.every((status) => status === ONLINE);
    }, 'all users online');
    assert.ok(!reported.has(OFFLINE), 'a user was reported as OFFLINE');
  });
});
