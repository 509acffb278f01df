import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, type As, app as startApp } from './kit/app.ts';
import { freshRedis } from './kit/redis.ts';
import { Subscriber } from './kit/stream.ts';
import { until } from './kit/until.ts';

const ana: As = { userId: 1n, tenantId: 1n };
const binh: As = { userId: 2n, tenantId: 1n };

describe('on a Redis Cluster of three nodes', () => {
  let app: App;
  let channelId: bigint;
  let subscriber: Subscriber;
  let sent = 0;

  before(async () => {
    // Without polling the log, events reach the other instance through Redis only.
    app = await startApp({ EVENT_POLL_MS: '600000' }, () => freshRedis(true));
    await app.start();
    const { channel } = await app
      .client(ChannelService, ana)
      .createChannel({ name: 'Cụm', memberUserIds: [2n] });
    channelId = channel?.id ?? 0n;
    subscriber = await new Subscriber(app.client(EventService, binh, 'grpc', 1), [channelId]).connect();
  });
  after(async () => {
    await subscriber.disconnect();
    await app.close();
  });

  async function send(): Promise<void> {
    await app.client(MessageService, ana).sendMessage({ channelId, content: `tin ${sent}` });
    sent += 1;
  }

  /** Sends until all messages have arrived at the other instance. */
  async function recovers(what: string): Promise<void> {
    const before = sent;
    await until(async () => {
      if (sent > before && subscriber.messages(channelId).length === sent) return true;
      await send();
      return false;
    }, what);
    assert.deepEqual(subscriber.faults, []);
  }

  it('events are relayed between instances', () => recovers('the first message'));

  for (const node of [0, 1, 2]) {
    it(`the relay works while node ${node} is dead, and after its restart`, async () => {
      await app.redis.stop(node);
      await recovers('messages through the other nodes');
      await app.redis.start(node);
      await recovers('messages through all nodes');
    });
  }

  it('the relay recovers when all nodes were dead', async () => {
    await app.redis.stop();
    await send();
    await app.redis.start();
    await recovers('messages after the restart');
  });
});
