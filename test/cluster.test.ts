import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, type As, app } from './kit/app.ts';
import { freshRedis } from './kit/redis.ts';
import { Subscriber } from './kit/stream.ts';
import { until } from './kit/until.ts';

const ana: As = { userId: 1n, tenantId: 1n };
const binh: As = { userId: 2n, tenantId: 1n };

describe('on a Redis Cluster of three nodes', () => {
  let the: App;
  let channelId: bigint;
  let subscriber: Subscriber;
  let sent = 0;

  before(async () => {
    // No sweep: what reaches the other instance came through Redis.
    the = await app({ EVENT_POLL_MS: '600000' }, () => freshRedis(true));
    await the.start();
    const { channel } = await the
      .client(ChannelService, ana)
      .createChannel({ name: 'Cụm', memberUserIds: [2n] });
    channelId = channel?.id ?? 0n;
    subscriber = await new Subscriber(the.client(EventService, binh, 'grpc', 1), [channelId]).connect();
  });
  after(async () => {
    await subscriber.disconnect();
    await the.close();
  });

  async function send(): Promise<void> {
    await the.client(MessageService, ana).sendMessage({ channelId, content: `tin ${sent}` });
    sent += 1;
  }

  /** Sends until all that was sent has arrived at the other instance. */
  async function recovers(what: string): Promise<void> {
    const before = sent;
    await until(async () => {
      if (sent > before && subscriber.messages(channelId).length === sent) return true;
      await send();
      return false;
    }, what);
    assert.deepEqual(subscriber.faults, []);
  }

  it('carries events between instances', () => recovers('the first message'));

  for (const node of [0, 1, 2]) {
    it(`goes on when node ${node} dies, and when it is back`, async () => {
      await the.redis.stop(node);
      await recovers('messages by the other nodes');
      await the.redis.start(node);
      await recovers('messages when all nodes are there');
    });
  }

  it('comes back when all nodes were away', async () => {
    await the.redis.stop();
    await send();
    await the.redis.start();
    await recovers('messages after the cluster');
  });
});
