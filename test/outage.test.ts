import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { Code, ConnectError } from '@connectrpc/connect';
import { RetryInfoSchema } from '#gen/google/rpc/error_details_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, type As, app } from './kit/app.ts';
import { Subscriber } from './kit/stream.ts';
import { until } from './kit/until.ts';
import { FaultProxy } from './kit/wire.ts';

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

describe('when PostgreSQL drops connections in the middle of transactions', () => {
  let the: App;

  before(async () => {
    // Few, so that a connection serves the next call soon after it was lost.
    the = await app({ DATABASE_CONNECTIONS: '2' });
  });
  after(() => the.close());

  it('survives, keeps transactions whole and apart, and refuses as UNAVAILABLE', async () => {
    const messages = the.client(MessageService, ana);
    const { channel } = await the.client(ChannelService, ana).createChannel({ name: 'Lũ' });
    const channelId = channel?.id ?? 0n;
    const refusals: ConnectError[] = [];
    const edited = new Map<bigint, string>();
    let editing = true;
    const editors = Array.from({ length: 6 }, edit);
    for (let cut = 0; cut < 40; cut += 1) {
      const before = edited.size + refusals.length;
      await the.owner`
        select pg_terminate_backend(pid)
        from pg_stat_activity
        where datname = current_database() and application_name like 'discuss/%'
          and (state = 'idle in transaction' or ${cut % 4 === 0})
      `;
      await until(() => edited.size + refusals.length > before);
    }
    editing = false;
    await Promise.all(editors);
    assert.ok(refusals.length > 0, 'the cuts were felt');
    for (const refusal of refusals) assert.equal(Code[refusal.code], 'Unavailable', refusal.message);
    const rows = await the.owner<{ id: bigint; content: string; events: number; versions: number }[]>`
      select
        m.id,
        m.content,
        (select count(*) from channel_events e where e.message_id = m.id and e.kind = 'MESSAGE_EDITED')::int as events,
        (select count(*) from message_edits v where v.message_id = m.id)::int as versions
      from messages m
    `;
    assert.equal(rows.length, edited.size);
    for (const { id, content, events, versions } of rows) {
      assert.equal(content, edited.get(id));
      assert.deepEqual({ events, versions }, { events: 1, versions: 1 }, 'an edit is whole or not there');
    }

    async function edit(_: unknown, editor: number): Promise<void> {
      for (let index = 0; editing; index += 1) {
        const request = { channelId, content: `${editor}:${index}`, requestId: randomUUID() };
        const { message } = await insist(() => messages.sendMessage(request));
        const messageId = message?.id ?? 0n;
        const content = `sửa ${editor}:${index}`;
        await insist(() =>
          messages.editMessage({ channelId, messageId, content, updateMask: { paths: ['content'] } }),
        );
        edited.set(messageId, content);
      }
    }

    async function insist<T>(call: () => Promise<T>): Promise<T> {
      for (;;) {
        try {
          return await call();
        } catch (error) {
          refusals.push(ConnectError.from(error));
        }
      }
    }
  });
});

describe('when connections to PostgreSQL are reset', () => {
  let the: App;
  let wire: FaultProxy;

  before(async () => {
    the = await app();
    const url = new URL(the.database.serviceUrl);
    wire = await FaultProxy.open(Number(url.port), false);
    url.port = `${wire.port}`;
    await the.start({ DATABASE_URL: url.href, DATABASE_CONNECTIONS: '3', EVENT_CONNECTIONS: '1' });
  });
  after(async () => {
    await the.close();
    // One that was left would keep the process from ending.
    await until(() => wire.connections === 0, 'the end of all connections');
    await wire.close();
  });

  it('answers everything afterwards, however much was waiting', async () => {
    const { channel } = await the.client(ChannelService, ana).createChannel({ name: 'Sét' });
    const channelId = channel?.id ?? 0n;
    const messages = the.client(MessageService, ana, 'grpc', 1);
    for (let round = 0; round < 20; round += 1) {
      const calls = Array.from({ length: 30 }, (_, index) =>
        index % 2 === 0
          ? messages.sendMessage({ channelId, content: `${round}:${index}`, requestId: randomUUID() })
          : messages.listMessages({ channelId }),
      ).map((call) =>
        call.then(
          () => 'OK',
          (error) => Code[ConnectError.from(error).code],
        ),
      );
      setTimeout(() => wire.reset(), round % 10);
      const answers = new Set(await Promise.all(calls));
      assert.deepEqual(
        [...answers].filter((answer) => answer !== 'OK' && answer !== 'Unavailable'),
        [],
      );
    }
  });
});

describe('when Redis is away as an instance starts', () => {
  let the: App;

  before(async () => {
    // So rarely that what arrives came through Redis.
    the = await app({ EVENT_POLL_MS: '600000' });
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
