import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, type As, app as startApp } from './kit/app.ts';
import { FaultProxy } from './kit/fault-proxy.ts';
import { freshRedis } from './kit/redis.ts';
import { Subscriber } from './kit/stream.ts';
import { until } from './kit/until.ts';

const ana: As = { userId: 1n, tenantId: 1n };
const binh: As = { userId: 2n, tenantId: 1n };

describe('when the network to Redis becomes silent', () => {
  let app: App;
  let proxy: FaultProxy | undefined;

  before(async () => {
    // The log is polled so rarely that every event comes through Redis. One server, because the nodes of a cluster announce
    // addresses that do not lead through the proxy.
    app = await startApp({ EVENT_POLL_MS: '600000' }, () => freshRedis(false));
  });
  after(async () => {
    await app.close();
    await proxy?.close();
  });

  it('both connections are replaced, and events are relayed again', async () => {
    const url = new URL(app.redis.url);
    proxy = await FaultProxy.open(Number(url.port), true);
    url.port = `${proxy.port}`;
    await app.start({ REDIS_URL: url.href, REDIS_RESPONSE_TIMEOUT_MS: '500' });
    const { channel } = await app
      .client(ChannelService, ana)
      .createChannel({ name: 'Lặng', memberUserIds: [2n] });
    const channelId = channel?.id ?? 0n;
    const [here, there] = await Promise.all(
      [0, 1].map((instance) =>
        new Subscriber(app.client(EventService, binh, 'grpc', instance), [channelId]).connect(),
      ),
    );
    if (here === undefined || there === undefined) throw new Error('two instances are expected');
    const attempts = proxy.attempts;
    proxy.forget();
    const open = proxy;
    await until(() => open.attempts >= attempts + 2, 'new connections');
    await until(() => app.instances[1]?.deps.relay.isSubscribed === true, 'subscriptions');
    let sent = 0;
    for (const [instance, subscriber] of [there, here].entries()) {
      const messages = app.client(MessageService, ana, 'grpc', instance);
      await until(async () => {
        sent += 1;
        await messages.sendMessage({ channelId, content: `${sent}` });
        return subscriber.events.length > 0;
      });
      await until(() => subscriber.events.length === sent);
    }
    for (const subscriber of [here, there]) {
      assert.deepEqual(subscriber.faults, []);
      await subscriber.disconnect();
    }
  });
});

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
