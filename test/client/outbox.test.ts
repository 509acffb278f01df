import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { ApiError } from '../../client/src/api-error.ts';
import { memoryStorage, Outbox, type OutboxStorage } from '../../client/src/outbox.ts';
import type { Transport } from '../../client/src/transport.ts';
import { type App, type As, app } from '../kit/app.ts';
import { jsonTransport } from '../kit/json-transport.ts';
import { until } from '../kit/until.ts';

const user: As = { userId: 1n, tenantId: 1n };

/** What happens to a call: it may be posted, and its response may be lost. */
type Network = (post: () => Promise<void>) => Promise<void>;

const offline: Network = async () => {
  throw new ApiError('offline', 'unavailable');
};

describe('the outbox of the client', () => {
  let the: App;
  let channelId: string;

  before(async () => {
    the = await app();
    const { channel } = await the
      .client(ChannelService, user)
      .createChannel({ name: 'Kho', requestId: crypto.randomUUID() });
    channelId = `${channel?.id}`;
  });
  after(() => the.close());

  it('posts each message once and in order, although responses are lost and calls are limited', async () => {
    let calls = 0;
    const outbox = await open(memoryStorage(), async (post) => {
      calls += 1;
      if (calls % 5 === 1) throw new ApiError('offline', 'unavailable');
      await post();
      // The message was posted, but the client does not learn of it.
      if (calls % 3 === 0) throw new ApiError('connection lost', 'unknown');
    });
    const contents = Array.from({ length: 12 }, (_, index) => `Tin ${index}`);
    await Promise.all(contents.map((content) => outbox.send({ channelId, content })));
    await until(() => outbox.entries.length === 0, 'all messages', 60_000);
    assert.deepEqual(await posted('Tin'), contents);
    assert.ok(calls > contents.length);
    await outbox.close();
  });

  it('continues after a reload', async () => {
    const storage = memoryStorage();
    const before = await open(storage, offline);
    const requestIds = [];
    for (const content of ['Lưu 1', 'Lưu 2']) requestIds.push(await before.send({ channelId, content }));
    await before.close();
    const sent: string[] = [];
    const after = await open(storage, undefined, (requestId) => sent.push(requestId));
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
    const before = await open(storage, offline);
    for (const content of ['Hai 1', 'Hai 2']) await before.send({ channelId, content });
    await before.close();
    let calls = 0;
    const counted: Network = (post) => {
      calls += 1;
      return post();
    };
    const tabs = await Promise.all([open(storage, counted), open(storage, counted)]);
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
    network: Network = (post) => post(),
    onSent: (requestId: string) => void = () => {},
  ): Promise<Outbox> {
    const { unary, stream } = jsonTransport(the, user);
    const transport: Transport = {
      stream,
      async unary(method, request, options) {
        const response = Promise.withResolvers<Awaited<ReturnType<typeof unary<typeof method>>>>();
        await network(async () => response.resolve(await unary(method, request, options)));
        return response.promise;
      },
    };
    return Outbox.open({ transport, storage, onSent: (_message, requestId) => onSent(requestId) });
  }

  async function posted(prefix: string): Promise<string[]> {
    const { messages } = await the
      .client(MessageService, user)
      .listMessages({ channelId: BigInt(channelId) });
    return messages.map(({ content }) => content).filter((content) => content.startsWith(prefix));
  }
});
