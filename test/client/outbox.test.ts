import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Code, ConnectError, createClient, type Interceptor } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-node';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { memoryStorage, Outbox, type OutboxStorage } from '../../client/src/outbox.ts';
import { type App, type As, app } from '../kit/app.ts';
import { until } from '../kit/until.ts';

const user: As = { userId: 1n, tenantId: 1n };

describe('the outbox of the client', () => {
  let the: App;
  let channelId: bigint;

  before(async () => {
    the = await app();
    const { channel } = await the
      .client(ChannelService, user)
      .createChannel({ name: 'Kho', requestId: crypto.randomUUID() });
    channelId = channel?.id ?? 0n;
  });
  after(() => the.close());

  it('posts each message once and in order, although responses are lost and calls are limited', async () => {
    let calls = 0;
    const unreliable: Interceptor = (next) => async (request) => {
      calls += 1;
      if (calls % 5 === 1) throw new ConnectError('offline', Code.Unavailable);
      const response = await next(request);
      // The message was posted, but the client does not learn of it.
      if (calls % 3 === 0) throw new ConnectError('connection lost', Code.Unknown);
      return response;
    };
    const outbox = await open(memoryStorage(), [unreliable]);
    const contents = Array.from({ length: 12 }, (_, index) => `Tin ${index}`);
    await Promise.all(contents.map((content) => outbox.send({ channelId, content })));
    await until(() => outbox.entries.length === 0, 'all messages', 60_000);
    assert.deepEqual(await posted('Tin'), contents);
    assert.ok(calls > contents.length);
    await outbox.close();
  });

  it('continues after a reload', async () => {
    const storage = memoryStorage();
    const offline: Interceptor = () => async () => {
      throw new ConnectError('offline', Code.Unavailable);
    };
    const before = await open(storage, [offline]);
    const requestIds = [];
    for (const content of ['Lưu 1', 'Lưu 2']) requestIds.push(await before.send({ channelId, content }));
    await before.close();
    const sent: string[] = [];
    const after = await open(storage, [], (requestId) => sent.push(requestId));
    await until(() => sent.length === 2, 'the stored messages');
    assert.deepEqual(sent, requestIds);
    assert.deepEqual(await posted('Lưu'), ['Lưu 1', 'Lưu 2']);
    assert.deepEqual(await storage.all(), []);
    await after.close();
  });

  it('sends each stored message once from two tabs', async () => {
    const name = crypto.randomUUID();
    const storage: OutboxStorage = {
      ...memoryStorage(),
      exclusive: (work) => navigator.locks.request(name, work),
    };
    const offline: Interceptor = () => async () => {
      throw new ConnectError('offline', Code.Unavailable);
    };
    const before = await open(storage, [offline]);
    for (const content of ['Hai 1', 'Hai 2']) await before.send({ channelId, content });
    await before.close();
    let calls = 0;
    const counted: Interceptor = (next) => (request) => {
      calls += 1;
      return next(request);
    };
    const tabs = await Promise.all([open(storage, [counted]), open(storage, [counted])]);
    await until(() => tabs.every(({ entries }) => entries.length === 0), 'both tabs');
    assert.deepEqual(await posted('Hai'), ['Hai 1', 'Hai 2']);
    assert.equal(calls, 2);
    await Promise.all(tabs.map((tab) => tab.close()));
  });

  it('keeps a rejected message until it is retried or discarded, and sends the next ones', async () => {
    const outbox = await open(memoryStorage());
    const requestId = await outbox.send({ channelId, content: '' });
    await outbox.send({ channelId, content: 'Sau 1' });
    await until(() => outbox.entries.length === 1 && outbox.entries[0]?.failure !== undefined, 'the failure');
    assert.deepEqual(await posted('Sau'), ['Sau 1']);
    await outbox.retry(requestId);
    await until(() => outbox.entries[0]?.failure !== undefined, 'the second failure');
    await outbox.discard(requestId);
    assert.deepEqual(outbox.entries, []);
    await outbox.close();
  });

  async function open(
    storage: OutboxStorage,
    interceptors: Interceptor[] = [],
    onSent: (requestId: string) => void = () => {},
  ): Promise<Outbox> {
    const token = await the.tokens.sign(user);
    const authorize: Interceptor = (next) => (request) => {
      request.header.set('authorization', `Bearer ${token}`);
      return next(request);
    };
    const transport = createConnectTransport({
      baseUrl: `http://${the.instances[0]?.webAddress}`,
      httpVersion: '1.1',
      interceptors: [...interceptors, authorize],
    });
    const client = createClient(MessageService, transport);
    return Outbox.open({ client, storage, onSent: (_message, requestId) => onSent(requestId) });
  }

  async function posted(prefix: string): Promise<string[]> {
    const { messages } = await the.client(MessageService, user).listMessages({ channelId });
    return messages.map(({ content }) => content).filter((content) => content.startsWith(prefix));
  }
});
