import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { PresenceStatus } from '#gen/serp/discuss/v1/presence_pb.ts';
import { PresenceService } from '#gen/serp/discuss/v1/presence_service_pb.ts';
import { type App, type As, app } from './kit/app.ts';
import { freshRedis } from './kit/redis.ts';
import { Subscriber } from './kit/stream.ts';
import { until } from './kit/until.ts';

const { OFFLINE, ONLINE, UNKNOWN } = PresenceStatus;
const user = (id: number): As => ({ userId: BigInt(id), tenantId: 1n });
// With as many, each node has some of their keys.
const others = Array.from({ length: 24 }, (_, index) => user(index + 2));
const userIds = others.map(({ userId }) => userId);

describe('presence on a Redis Cluster of three nodes', () => {
  let the: App;
  const streams: Subscriber[] = [];

  before(async () => {
    // Absence is uncertain for three times the last value; each instance notices within 1.25 s that a node is back.
    the = await app(
      { PRESENCE_DEBOUNCE_MS: '50', PRESENCE_POLL_MS: '200', PRESENCE_RECOVERY_MS: '1500' },
      () => freshRedis(true),
    );
    await the.start();
  });
  after(async () => {
    await Promise.all(streams.map((stream) => stream.disconnect()));
    await the.close();
    // The driver may go on connecting to a cluster that is gone.
    setTimeout(() => process.exit(), 5_000).unref();
  });

  const subscribe = async (as: As, instance: number) => {
    const stream = new Subscriber(the.client(EventService, as, 'grpc', instance));
    streams.push(stream);
    return stream.connect();
  };
  const ask = async () => {
    const answer = await the.client(PresenceService, user(1)).getPresence({ userIds });
    return answer.users.map(({ status }) => status);
  };

  it('knows users, whatever node has them, and tells of them', async () => {
    const { channel } = await the.client(ChannelService, user(1)).createChannel({
      name: 'Cụm',
      memberUserIds: userIds,
    });
    const watching = await subscribe(user(1), 0);
    await Promise.all(others.map((as, index) => subscribe(as, index % 2)));
    await until(() => userIds.every((userId) => watching.statuses(userId).at(-1) === ONLINE));
    assert.deepEqual(new Set(await ask()), new Set([ONLINE]));
    const { entries } = await the.client(ChannelService, user(1)).listChannels({});
    assert.equal(entries.find((entry) => entry.channel?.id === channel?.id)?.onlineMemberCount, 25);
    const client = the.client(PresenceService, user(2), 'grpc', 1);
    await client.startTyping({ channelId: channel?.id ?? 0n });
    await until(() => watching.count('typing') === 1);
  });

  it('says UNKNOWN of those whose node is dead, and nobody is taken for offline when it is back', async () => {
    await the.redis.stop(0);
    await until(async () => new Set(await ask()).size === 2, 'an answer without the dead node');
    const seen = await ask();
    assert.ok(seen.includes(UNKNOWN) && seen.includes(ONLINE) && !seen.includes(OFFLINE), `${seen}`);
    await subscribe(user(2), 0);
    await subscribe(user(3), 1);
    await Promise.all(others.map((as) => the.client(PresenceService, as).heartbeat({ device: { id: 'x' } })));
    await the.redis.start(0);
    const answers = new Set<PresenceStatus>();
    await until(async () => {
      const now = await ask();
      for (const status of now) answers.add(status);
      return now.every((status) => status === ONLINE);
    }, 'everybody there');
    assert.ok(!answers.has(OFFLINE), 'somebody was taken for offline');
  });
});
