import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, type As, app } from '../../test/kit/app.ts';
import { Subscriber } from '../../test/kit/stream.ts';
import { TenantStreamReader } from '../../test/kit/tenant-stream-reader.ts';

import { until } from '../../test/kit/until.ts';

const MESSAGES = 20;

describe('the relay between two instances', () => {
  let the: App;

  before(async () => {
    // The log is polled so rarely that every event comes through Redis.
    the = await app({ EVENT_POLL_MS: '600000' });
    await the.start();
  });
  after(() => the.close());

  const received = async () => {
    const { values } = (await the.instances[1]?.deps.metrics.relayReceived.get()) ?? { values: [] };
    return values.reduce((sum, { value }) => sum + value, 0);
  };
  const createChannel = async (as: As) => {
    const { channel } = await the.client(ChannelService, as).createChannel({ name: 'Kho' });
    return channel?.id ?? 0n;
  };

  it('carries what concerns the tenants of the streams that an instance has', async () => {
    const [served, other]: As[] = [1n, 2n].map((tenantId) => ({ userId: 7n, tenantId }));
    assert.ok(served !== undefined && other !== undefined);
    const channelId = await createChannel(served);
    const otherId = await createChannel(other);
    const subscriber = await new Subscriber(the.client(EventService, served, 'grpc', 1), [
      channelId,
    ]).connect();
    const before = await received();
    for (let index = 0; index < MESSAGES; index += 1)
      await the.client(MessageService, other).sendMessage({ channelId: otherId, content: `${index}` });
    for (let index = 0; index < MESSAGES; index += 1)
      await the.client(MessageService, served).sendMessage({ channelId, content: `${index}` });
    await until(() => subscriber.events.length === MESSAGES, 'the messages of the tenant');
    assert.equal((await received()) - before, MESSAGES);
    assert.deepEqual(subscriber.faults, []);
    await subscriber.disconnect();
  });

  it('wakes the tenant streams of the other instance', async () => {
    const consumer: As = { userId: 0n, tenantId: 3n, roles: ['discuss.service'] };
    const reader = await new TenantStreamReader().connect(the.client(EventService, consumer, 'grpc', 1));
    const member: As = { userId: 7n, tenantId: 3n };
    const channelId = await createChannel(member);
    for (let sent = 1; sent <= 3; sent += 1) {
      await the.client(MessageService, member).sendMessage({ channelId, content: `${sent}` });
      await until(() => reader.texts.length === sent, 'the event of the message');
    }
    await reader.disconnect();
  });
});
