import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { Code, ConnectError } from '@connectrpc/connect';
import { RetryInfoSchema } from '#gen/google/rpc/error_details_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, type As, app as startApp } from './kit/app.ts';
import { startBehindProxy } from './kit/behind-proxy.ts';
import type { FaultProxy } from './kit/fault-proxy.ts';
import { insist, unavailable } from './kit/outage.ts';
import { Subscriber } from './kit/stream.ts';
import { until } from './kit/until.ts';

const ana: As = { userId: 1n, tenantId: 1n };
const binh: As = { userId: 2n, tenantId: 1n };

describe('when PostgreSQL drops its connections', () => {
  let app: App;

  before(async () => {
    app = await startApp();
    await app.start();
  });
  after(() => app.close());

  it('writers lose and repeat no message, streams stay open, and errors are UNAVAILABLE', async ({
    signal,
  }) => {
    const { channel } = await app
      .client(ChannelService, ana)
      .createChannel({ name: 'Bão', memberUserIds: [2n] });
    const channelId = channel?.id ?? 0n;
    const subscribers = await Promise.all(
      (['grpc', 'web'] as const).map((edge, instance) =>
        new Subscriber(app.client(EventService, binh, edge, instance), [channelId]).connect(),
      ),
    );
    const rejections: ConnectError[] = [];
    let posting = true;
    const writers = Array.from({ length: 6 }, (_, writer) => write(writer, writer % 2));
    for (let cut = 0; cut < 8 || rejections.length === 0; cut += 1) {
      const before = subscribers[0]?.events.length ?? 0;
      await until(() => (subscribers[0]?.events.length ?? 0) > before + 30, 'messages between two cuts');
      await app.owner`
        select pg_terminate_backend(pid)
        from pg_stat_activity
        where datname = current_database() and application_name like 'discuss/%'
      `;
    }
    posting = false;
    const acknowledged = (await Promise.all(writers)).flat();
    const rows = await app.owner<{ content: string }[]>`select content from messages order by id`;
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
    for (const rejection of rejections) assert.equal(rejection.findDetails(RetryInfoSchema).length, 1);
    await Promise.all(subscribers.map((subscriber) => subscriber.disconnect()));

    // Repeats a call with its request id until it succeeds, as the contract requires.
    async function write(writer: number, instance: number): Promise<string[]> {
      const client = app.client(MessageService, ana, 'grpc', instance);
      const acknowledged: string[] = [];
      for (let index = 0; posting && !signal.aborted; index += 1) {
        const message = { channelId, content: `${writer}:${index}`, requestId: randomUUID() };
        while (!(await client.sendMessage(message).then(() => true, rejected))) signal.throwIfAborted();
        acknowledged.push(message.content);
      }
      return acknowledged;
    }

    function rejected(error: unknown): false {
      rejections.push(unavailable(error));
      return false;
    }
  });
});

describe('when PostgreSQL drops connections in the middle of transactions', () => {
  let app: App;

  before(async () => {
    // With few connections, each serves the next call soon after it was lost.
    app = await startApp({ DATABASE_CONNECTIONS: '2' });
  });
  after(() => app.close());

  it('every edit is complete or absent, and errors are UNAVAILABLE', async ({ signal }) => {
    const messages = app.client(MessageService, ana);
    const { channel } = await app.client(ChannelService, ana).createChannel({ name: 'Lũ' });
    const channelId = channel?.id ?? 0n;
    const rejections: ConnectError[] = [];
    const edited = new Map<bigint, string>();
    let editing = true;
    const editors = Array.from({ length: 6 }, edit);
    for (let cut = 0; cut < 40 || rejections.length === 0; cut += 1) {
      const before = edited.size + rejections.length;
      await app.owner`
        select pg_terminate_backend(pid)
        from pg_stat_activity
        where datname = current_database() and application_name like 'discuss/%'
          and (state = 'idle in transaction' or ${cut % 4 === 0})
      `;
      await until(() => edited.size + rejections.length > before);
    }
    editing = false;
    await Promise.all(editors);
    const rows = await app.owner<{ id: bigint; content: string; events: number; versions: number }[]>`
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
      assert.deepEqual({ events, versions }, { events: 1, versions: 1 }, 'an edit is complete or absent');
    }

    async function edit(_: unknown, editor: number): Promise<void> {
      for (let index = 0; editing && !signal.aborted; index += 1) {
        const request = { channelId, content: `${editor}:${index}`, requestId: randomUUID() };
        const { message } = await insist(signal, () => messages.sendMessage(request), rejections);
        const messageId = message?.id ?? 0n;
        const content = `sửa ${editor}:${index}`;
        const edit = { channelId, messageId, content, updateMask: { paths: ['content'] } };
        await insist(signal, () => messages.editMessage(edit), rejections);
        edited.set(messageId, content);
      }
    }
  });
});

describe('when connections to PostgreSQL are reset', () => {
  let app: App;
  let proxy: FaultProxy;

  before(async () => {
    ({ app, proxy } = await startBehindProxy({ DATABASE_CONNECTIONS: '3', EVENT_CONNECTIONS: '1' }));
  });
  after(async () => {
    await app.close();
    // An open connection would keep the process from ending.
    await until(() => proxy.connections === 0, 'the end of all connections');
    await proxy.close();
  });

  it('every call settles, and later calls succeed', async () => {
    const { channel } = await app.client(ChannelService, ana).createChannel({ name: 'Sét' });
    const channelId = channel?.id ?? 0n;
    const messages = app.client(MessageService, ana, 'grpc', 1);
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
      setTimeout(() => proxy.reset(), round % 10);
      const results = new Set(await Promise.all(calls));
      assert.deepEqual(
        [...results].filter((result) => result !== 'OK' && result !== 'Unavailable'),
        [],
      );
    }
  });
});
