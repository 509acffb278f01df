import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { create, toBinary } from '@bufbuild/protobuf';
import { BatchSchema } from '#gen/serp/discuss/relay/v1/relay_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { createSigner } from '../../src/rpc/signer.ts';
import { type App, type As, app } from '../kit/app.ts';
import { Subscriber } from '../kit/stream.ts';
import { until } from '../kit/until.ts';

const owner: As = { userId: 1n, tenantId: 1n };

describe('messages on the relay channels of Redis', () => {
  let testApp: App;
  let channelId: bigint;

  before(async () => {
    testApp = await app();
    await testApp.start();
    const { channel } = await testApp.client(ChannelService, owner).createChannel({ name: 'Kho' });
    channelId = channel?.id ?? 0n;
  });
  after(() => testApp.close());

  const publish = (message: Buffer) => testApp.redis.client.spublish('discuss:relay:{all.0}', message);
  const countOf = async (name: 'relayRejections' | 'listenerErrors') => {
    const counts = testApp.instances.map(async ({ deps }) => {
      const { values } = await deps.metrics[name].get();
      return values.reduce((sum, { value }) => sum + value, 0);
    });
    return Math.min(...(await Promise.all(counts)));
  };
  const batch = (events: Buffer[]) =>
    toBinary(BatchSchema, create(BatchSchema, { events, origin: 'intruder' }));
  const sign = (bytes: Uint8Array) => {
    const keys = testApp.config().secrets.keys;
    return createSigner(keys, 'relay').sign(bytes, Buffer.alloc(0));
  };
  const assertDelivers = async () => {
    const subscriber = new Subscriber(testApp.client(EventService, owner, 'grpc', 1), [channelId]);
    await subscriber.connect();
    try {
      const { message } = await testApp
        .client(MessageService, owner)
        .sendMessage({ channelId, content: 'sau đó' });
      await until(() => subscriber.events.length === 1);
      assert.deepEqual(subscriber.events[0]?.change.value, {
        ...subscriber.events[0]?.change.value,
        message,
      });
    } finally {
      await subscriber.disconnect();
    }
  };

  it('are dropped and counted by every instance unless an instance signed them', async () => {
    const before = await countOf('relayRejections');
    const messages = [
      Buffer.from([0x0a]),
      Buffer.from('hello'),
      Buffer.from(batch([Buffer.from([0xff])])),
      Buffer.alloc(0),
    ];
    for (const message of messages) await publish(message);
    await until(
      async () => (await countOf('relayRejections')) === before + messages.length,
      'their rejection',
    );
    await assertDelivers();
  });

  it('that hold one malformed event cost that event only', async () => {
    const before = await countOf('listenerErrors');
    await publish(sign(batch([Buffer.from([0xff]), Buffer.from([0x0a])])));
    await until(async () => (await countOf('listenerErrors')) >= before + 2, 'the exceptions');
    await assertDelivers();
  });

  it('that are signed for another purpose or with another key are dropped', async () => {
    const before = await countOf('relayRejections');
    const bytes = batch([]);
    const otherPurpose = createSigner(testApp.config().secrets.keys, 'page token').sign(
      bytes,
      Buffer.alloc(0),
    );
    const otherKey = createSigner([Buffer.alloc(32, 7)], 'relay').sign(bytes, Buffer.alloc(0));
    await publish(otherPurpose);
    await publish(otherKey);
    await until(async () => (await countOf('relayRejections')) === before + 2, 'their rejection');
  });
});

describe('a failing delivery', () => {
  it('changes no response of the batch, and streams read the messages from the log', async () => {
    const testApp = await app();
    const { channel } = await testApp.client(ChannelService, owner).createChannel({ name: 'Kho' });
    const channelId = channel?.id ?? 0n;
    const subscriber = new Subscriber(testApp.client(EventService, owner), [channelId]);
    await subscriber.connect();
    const [instance] = testApp.instances;
    assert.ok(instance !== undefined);
    const { hub } = instance.deps;
    const original = hub.deliver;
    Reflect.set(hub, 'deliver', () => {
      throw new Error('a defect in delivery');
    });
    const sending = Array.from({ length: 30 }, (_, index) =>
      testApp.client(MessageService, owner).sendMessage({ channelId, content: `${index}` }),
    );
    const responses = await Promise.allSettled(sending);
    assert.ok(responses.every(({ status }) => status === 'fulfilled'));
    Reflect.set(hub, 'deliver', original);
    await until(() => subscriber.events.length === 30, 'the events from the log');
    assert.deepEqual(subscriber.faults, []);
    await subscriber.disconnect();
    await testApp.close();
  });
});
