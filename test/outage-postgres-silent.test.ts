import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, type As, app as startApp } from './kit/app.ts';
import { startBehindProxy } from './kit/behind-proxy.ts';
import { insist, unavailable } from './kit/outage.ts';
import { Subscriber } from './kit/stream.ts';
import { until } from './kit/until.ts';

const ana: As = { userId: 1n, tenantId: 1n };
const binh: As = { userId: 2n, tenantId: 1n };

describe('when the network to PostgreSQL becomes silent', () => {
  it('calls end with UNAVAILABLE, repeated ones return the same message, and nothing is restarted', async ({
    signal,
  }) => {
    await using the = await startBehindProxy({
      DATABASE_RESPONSE_TIMEOUT_MS: '500',
      DATABASE_CONNECT_TIMEOUT_MS: '1000',
      DATABASE_CONNECTIONS: '3',
    });
    const { app, proxy } = the;
    const { channel } = await app
      .client(ChannelService, ana)
      .createChannel({ name: 'Lặng', memberUserIds: [2n] });
    const channelId = channel?.id ?? 0n;
    const client = app.client(MessageService, ana, 'grpc', 1);
    const channels = app.client(ChannelService, ana, 'grpc', 1);
    const subscriber = await new Subscriber(app.client(EventService, binh, 'grpc', 1), [channelId]).connect();
    const requests = Array.from({ length: 4 }, (_, index) => ({
      channelId,
      content: `${index}`,
      requestId: randomUUID(),
    }));
    const first = await Promise.all(requests.map((request) => client.sendMessage(request)));
    // Two more, whose outcome is unknown, and reads on all connections.
    const unknown = ['a', 'b'].map((content) => ({ channelId, content, requestId: randomUUID() }));
    proxy.mode = 'stall';
    proxy.forget();
    const calls = [
      ...unknown.map((request) => client.sendMessage(request, { timeoutMs: 60_000 })),
      ...[0, 1, 2].map(() => channels.listChannels({}, { timeoutMs: 60_000 })),
    ];
    for (const call of await Promise.allSettled(calls)) {
      assert.equal(call.status, 'rejected');
      unavailable(call.reason);
    }
    proxy.mode = 'pass';
    proxy.forget();
    const repeated = await Promise.all(
      [...requests, ...unknown].map((request) =>
        insist(signal, async () => (await client.sendMessage(request)).message?.id),
      ),
    );
    assert.deepEqual(
      repeated.slice(0, first.length),
      first.map(({ message }) => message?.id),
    );
    const rows = await app.owner<
      { id: bigint }[]
    >`select id from messages where message_type = 'TEXT' order by id`;
    assert.deepEqual(
      rows.map(({ id }) => id),
      repeated.toSorted((a, b) => Number((a ?? 0n) - (b ?? 0n))),
    );
    await until(
      () => subscriber.messages(channelId).length === repeated.length,
      'all messages on the stream',
    );
    assert.deepEqual(subscriber.faults, []);
    assert.equal(subscriber.error, undefined);
    await subscriber.disconnect();
  });
});

describe('when single connections to PostgreSQL become silent', () => {
  it('they are replaced, while that of the watchdog still responds', async ({ signal }) => {
    await using the = await startBehindProxy({
      DATABASE_RESPONSE_TIMEOUT_MS: '500',
      DATABASE_CONNECTIONS: '2',
      WRITE_BATCH_CONNECTIONS: '2',
      EVENT_CONNECTIONS: '2',
    });
    const { app, proxy } = the;
    const { channel } = await app
      .client(ChannelService, ana)
      .createChannel({ name: 'Vắng', memberUserIds: [2n] });
    const channelId = channel?.id ?? 0n;
    const messages = app.client(MessageService, ana, 'grpc', 1);
    const subscriber = await new Subscriber(app.client(EventService, binh, 'grpc', 1), [channelId]).connect();
    let sent = 0;
    await send();
    for (const use of ['writes', 'log', 'calls']) {
      assert.ok(proxy.forget(`/${use}`) > 0, `a connection for ${use} is open`);
      await Promise.all([send(), send(), insist(signal, () => messages.listMessages({ channelId }))]);
    }
    await until(() => subscriber.messages(channelId).length === sent, 'all messages on the stream');
    assert.deepEqual(subscriber.faults, []);
    await subscriber.disconnect();
    // The first of its kind on a connection is described before it is executed.
    proxy.forgetDescription('/calls');
    const { channel: found } = await insist(signal, () =>
      app.client(ChannelService, ana, 'grpc', 1).getChannel({ channelId }, { timeoutMs: 20_000 }),
    );
    assert.equal(found?.id, channelId);
    assert.equal(proxy.forgottenDescriptions, 1);

    async function send(): Promise<void> {
      sent += 1;
      const request = { channelId, content: `${sent}`, requestId: randomUUID() };
      await insist(signal, () => messages.sendMessage(request, { timeoutMs: 30_000 }));
    }
  });
});

describe('when statements run longer than PostgreSQL may take to respond', () => {
  let app: App;

  before(async () => {
    app = await startApp({ DATABASE_RESPONSE_TIMEOUT_MS: '200', DATABASE_CONNECTIONS: '2' });
  });
  after(() => app.close());

  it('their connections stay open', async () => {
    const { channel } = await app.client(ChannelService, ana).createChannel({ name: 'Chờ' });
    const channelId = channel?.id ?? 0n;
    const messages = app.client(MessageService, ana);
    const lists = await app.owner.begin(async (sql) => {
      await sql`lock table messages in access exclusive mode`;
      const calls = [0, 1].map(() => messages.listMessages({ channelId }));
      const waits = (seconds: number) => app.owner`
        select 1 from pg_stat_activity
        where application_name like 'discuss/%/calls %' and wait_event_type = 'Lock'
          and query_start < clock_timestamp() - ${seconds} * interval '1 s'
      `;
      await until(async () => (await waits(0.6)).length > 0, 'a statement that waits');
      return calls;
    });
    await Promise.all(lists);
  });
});
