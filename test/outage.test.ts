import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { Code, ConnectError } from '@connectrpc/connect';
import { RetryInfoSchema } from '#gen/google/rpc/error_details_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, type As, app } from '../src/testing/app.ts';
import { Subscriber } from '../src/testing/stream.ts';
import { until } from '../src/testing/until.ts';

const ana: As = { userId: 1n, tenantId: 1n };
const binh: As = { userId: 2n, tenantId: 1n };

describe('when PostgreSQL drops its connections', () => {
  let the: App;

  before(async () => {
    the = await app();
    await the.start();
  });
  after(() => the.close());

  it('loses no acknowledged message, posts none twice, keeps streams open, and refuses as UNAVAILABLE', async () => {
    const { channel } = await the
      .client(ChannelService, ana)
      .createChannel({ name: 'Bão', memberUserIds: [2n] });
    const channelId = channel?.id ?? 0n;
    const subscribers = await Promise.all(
      (['grpc', 'web'] as const).map((edge, instance) =>
        new Subscriber(the.client(EventService, binh, edge, instance), [channelId]).connect(),
      ),
    );
    const refusals: ConnectError[] = [];
    let posting = true;
    const writers = Array.from({ length: 6 }, (_, writer) => write(writer, writer % 2));
    for (let cut = 0; cut < 8; cut += 1) {
      const before = subscribers[0]?.events.length ?? 0;
      await until(() => (subscribers[0]?.events.length ?? 0) > before + 30, 'messages between two cuts');
      await the.owner`
        select pg_terminate_backend(pid)
        from pg_stat_activity
        where datname = current_database() and application_name like 'discuss/%'
      `;
    }
    posting = false;
    const acknowledged = (await Promise.all(writers)).flat();
    const rows = await the.owner<{ content: string }[]>`select content from messages order by id`;
    const stored = rows.map(({ content }) => content);
    assert.deepEqual([...stored].sort(), acknowledged.sort());
    for (const subscriber of subscribers) {
      await until(
        () => subscriber.messages(channelId).length === stored.length,
        'all messages on every stream',
      );
      assert.deepEqual(subscriber.messages(channelId), stored);
      assert.deepEqual(subscriber.faults, []);
      assert.equal(subscriber.error, undefined);
    }
    assert.ok(refusals.length > 0, 'the cuts were felt');
    for (const refusal of refusals) {
      assert.equal(Code[refusal.code], 'Unavailable', refusal.message);
      assert.equal(refusal.findDetails(RetryInfoSchema).length, 1);
    }
    await Promise.all(subscribers.map((subscriber) => subscriber.disconnect()));

    // Repeats a call with its request id until it is answered, as the contract asks.
    async function write(writer: number, instance: number): Promise<string[]> {
      const client = the.client(MessageService, ana, 'grpc', instance);
      const answered: string[] = [];
      for (let index = 0; posting; index += 1) {
        const message = { channelId, content: `${writer}:${index}`, requestId: randomUUID() };
        while (!(await client.sendMessage(message).then(() => true, refused)));
        answered.push(message.content);
      }
      return answered;
    }

    function refused(error: unknown): false {
      refusals.push(ConnectError.from(error));
      return false;
    }
  });
});

describe('when Redis is away as an instance starts', () => {
  let the: App;

  before(async () => {
    // So rarely that what arrives came through Redis.
    the = await app({ EVENT_SWEEP_MS: '600000' });
  });
  after(() => the.close());

  it('takes part in the relay once Redis is back', async () => {
    const { channel } = await the
      .client(ChannelService, ana)
      .createChannel({ name: 'Mưa', memberUserIds: [2n] });
    const channelId = channel?.id ?? 0n;
    await the.redis.stop();
    await the.start();
    const subscriber = await new Subscriber(the.client(EventService, binh, 'web', 1), [channelId]).connect();
    await the.redis.start();
    let sent = 0;
    await until(async () => {
      sent += 1;
      await the.client(MessageService, ana).sendMessage({ channelId, content: `giọt ${sent}` });
      return subscriber.events.length > 0;
    });
    await until(() => subscriber.events.length === sent);
    assert.deepEqual(subscriber.faults, []);
    await subscriber.disconnect();
  });
});
