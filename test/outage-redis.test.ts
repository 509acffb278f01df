import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, type As, app as startApp } from './kit/app.ts';
import { Subscriber } from './kit/stream.ts';
import { until } from './kit/until.ts';

const ana: As = { userId: 1n, tenantId: 1n };
const binh: As = { userId: 2n, tenantId: 1n };

describe('an instance that starts while Redis is unavailable', () => {
  let app: App;

  before(async () => {
    // The log is polled so rarely that every event comes through Redis.
    app = await startApp({ EVENT_POLL_MS: '600000' });
  });
  after(() => app.close());

  it('relays events once Redis is available', async () => {
    const { channel } = await app
      .client(ChannelService, ana)
      .createChannel({ name: 'Mưa', memberUserIds: [2n] });
    const channelId = channel?.id ?? 0n;
    await app.redis.stop();
    await app.start();
    const subscriber = await new Subscriber(app.client(EventService, binh, 'web', 1), [channelId]).connect();
    await app.redis.start();
    let sent = 0;
    await until(async () => {
      sent += 1;
      await app.client(MessageService, ana).sendMessage({ channelId, content: `giọt ${sent}` });
      return subscriber.events.length > 0;
    });
    await until(() => subscriber.events.length === sent);
    assert.deepEqual(subscriber.faults, []);
    await subscriber.disconnect();
  });
});
