import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { inspect } from 'node:util';
import { ActivityService } from '#gen/serp/discuss/v1/activity_service_pb.ts';
import { AdminService } from '#gen/serp/discuss/v1/admin_service_pb.ts';
import { AttachmentService } from '#gen/serp/discuss/v1/attachment_service_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { ContentState, MessageType } from '#gen/serp/discuss/v1/message_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { SearchService } from '#gen/serp/discuss/v1/search_service_pb.ts';
import { ServerService } from '#gen/serp/discuss/v1/server_service_pb.ts';
import { type App, type As, fileApp } from '../../test/kit/app.ts';
import { contains, dumpDatabase, watchRedis } from '../../test/kit/dump.ts';
import { indexed } from '../../test/kit/indexed.ts';
import { freshRedis } from '../../test/kit/redis.ts';
import { Subscriber } from '../../test/kit/stream.ts';
import { TenantStreamReader } from '../../test/kit/tenant-stream-reader.ts';
import { until } from '../../test/kit/until.ts';
import { PNG, upload } from '../../test/kit/uploads.ts';
import { createLogger } from '../telemetry/log.ts';

const user = (userId: bigint): As => ({ userId, tenantId: 1n });
const [ana, binh] = [user(1n), user(2n)];
const service: As = { userId: 0n, tenantId: 1n, roles: ['discuss.service'] };
const operator = { userId: 7n, tenantId: 0n, roles: ['discuss.admin'] };
const key = randomBytes(32);

describe('the content of an encrypted channel', () => {
  let the: App;
  let redis: Awaited<ReturnType<typeof watchRedis>>;
  const logged: string[] = [];

  before(async () => {
    const env = { ENCRYPTION_KEYS: `k1=${key.toString('base64')}` };
    the = await fileApp(env, () => freshRedis(false));
    redis = await watchRedis(the.redis.url);
    await the.start({}, createLogger('trace', { write: (line) => void logged.push(line) }));
  });
  after(async () => {
    redis?.close();
    await the.close();
  });

  const messages = (as = ana, instance = 1) => the.client(MessageService, as, 'grpc', instance);
  const group = async (encrypted: boolean) => {
    const request = { name: 'Kho', private: true, memberUserIds: [2n], encrypted };
    const { channel } = await the.client(ChannelService, ana, 'grpc', 1).createChannel(request);
    assert.equal(channel?.encryptionTime !== undefined, encrypted);
    return channel?.id ?? 0n;
  };

  /** Uses everything that carries content, with words that begin with `word`. */
  async function write(channelId: bigint, word: string) {
    const send = async (rest: object) => (await messages().sendMessage({ channelId, ...rest })).message;
    const text = await send({
      content: `${word}-text`,
      metadata: { note: `${word}-meta` },
      mentionUserIds: [2n],
    });
    const messageId = text?.id ?? 0n;
    await send({ content: `${word}-reply`, replyToMessageId: messageId, alsoInChannel: true });
    const options = [`${word}-one`, `${word}-two`];
    const poll = await send({ content: `${word}-question`, type: MessageType.POLL, poll: { options } });
    await messages(binh).votePoll({ channelId, messageId: poll?.id ?? 0n, optionIds: [1] });
    const edit = { content: `${word}-edit`, updateMask: { paths: ['content'] } };
    await messages().editMessage({ channelId, messageId, ...edit });
    await messages().pinMessage({ channelId, messageId });
    await messages(binh).addReaction({ channelId, messageId, emoji: '👍' });
    const files = the.client(AttachmentService, ana, 'grpc', 1);
    const file = await upload(files, channelId, `${word}-file.png`, PNG);
    await send({ content: '', attachmentIds: [file.id] });
    return { messageId, poll };
  }

  /** Everything that members read, as one text. */
  async function read(channelId: bigint, messageId: bigint, instance: number): Promise<string> {
    const client = messages(binh, instance);
    const files = the.client(AttachmentService, binh, 'grpc', instance);
    const responses = [
      // Twice unchanged, so that it is cached, then from the cache.
      await client.listMessages({ channelId }),
      await client.listMessages({ channelId }),
      await client.listMessages({ channelId }),
      await client.getMessage({ channelId, messageId }),
      await client.batchGetMessages({ messageIds: [messageId] }),
      await client.listEdits({ channelId, messageId }),
      await client.listPins({ channelId }),
      await client.listThread({ channelId, rootMessageId: messageId }),
      await client.listThreads({}),
      await files.listAttachments({ channelId }),
    ];
    return inspect(responses, { depth: 20, maxStringLength: null, maxArrayLength: null });
  }

  const words = (word: string) =>
    ['text', 'meta', 'reply', 'one', 'question', 'edit', 'file'].map((end) => `${word}-${end}`);

  it('is in no table, no Redis key, no publication and no log, while members read all of it', async () => {
    const [plain, secret] = [await group(false), await group(true)];
    const streams = [0, 1].map(
      (instance) => new Subscriber(the.client(EventService, binh, 'grpc', instance), [plain, secret]),
    );
    for (const stream of streams) await stream.connect();
    const feed = await new TenantStreamReader({ fromOldest: true }).connect(
      the.client(EventService, service),
    );
    const open = await write(plain, 'Zq7301');
    const closed = await write(secret, 'Xw9154');
    for (const instance of [0, 1]) {
      const text = await read(secret, closed.messageId, instance);
      for (const word of words('Xw9154')) assert.ok(text.includes(word), `${word} of instance ${instance}`);
      await read(plain, open.messageId, instance);
    }
    await until(
      () =>
        streams.every((stream) => stream.events.filter((event) => event.channelId === secret).length >= 8),
      'events',
    );
    for (const stream of streams) {
      const text = inspect(stream.events, { depth: 20, maxStringLength: null, maxArrayLength: null });
      for (const word of words('Xw9154')) assert.ok(text.includes(word), `${word} in a stream`);
      assert.deepEqual(stream.faults, []);
      assert.ok(!stream.events.some(({ encrypted }) => encrypted));
    }
    await until(
      () => feed.events.filter(({ event }) => event?.channelId === secret).length >= 8,
      'events of the tenant',
    );
    const [fed] = [inspect(feed.events, { depth: 20, maxStringLength: null, maxArrayLength: null })];
    assert.ok(fed.includes('Zq7301-text') && !fed.includes('Xw9154'));
    assert.ok(
      feed.events.some(
        ({ event }) =>
          event?.change.case === 'messageCreated' &&
          event.change.value.message?.contentState === ContentState.WITHHELD,
      ),
    );

    const exporter = the.client(AdminService, { ...operator, roles: [...operator.roles, 'discuss.export'] });
    const exported: unknown[] = [];
    for await (const page of exporter.exportChannel({ tenantId: 1n, channelId: secret })) exported.push(page);
    const lines = inspect(exported, { depth: 9, maxStringLength: null, maxArrayLength: null });
    assert.ok(lines.includes('encryptedContent') && !lines.includes('Xw9154'));

    await indexed(the);
    const dump = await dumpDatabase(the);
    const sent = redis.text();
    const log = logged.join('\n');
    for (const word of words('Zq7301'))
      assert.ok(contains(dump, word), `${word} is found where it is not encrypted`);
    assert.ok(contains(sent, 'Zq7301-text'), 'so is what is sent to Redis');
    assert.ok(/channel:\d+:messages/.test(sent));
    for (const text of [dump, sent, log]) {
      assert.ok(!contains(text, 'Xw9154'));
      for (const form of ['base64', 'hex'] as const) assert.ok(!text.includes(key.toString(form)));
    }
    const config = the.config();
    assert.ok(!inspect(config, { depth: 9 }).includes(key.toString('base64')));
    assert.deepEqual(JSON.parse(JSON.stringify(config.encryption.keys)), [{ id: 'k1', key: {} }]);
    for (const reader of [feed, ...streams]) await reader.disconnect();
  });

  it('is in no preview, no activity and no search', async () => {
    const { features } = await the.client(ServerService, ana).getServerInfo({});
    assert.equal(features?.encryption, true);
    const channelId = await group(true);
    const content = 'Vb5527 báo cáo';
    const { message } = await messages().sendMessage({ channelId, content, mentionUserIds: [2n] });
    await indexed(the);
    const { messages: results } = await the.client(SearchService, binh).searchMessages({ query: 'Vb5527' });
    assert.deepEqual(results, []);
    const { entries } = await the.client(ChannelService, binh).listChannels({});
    const entry = entries.find(({ channel }) => channel?.id === channelId);
    const { content: shown, contentState } = entry?.lastMessage ?? {};
    assert.deepEqual([shown, contentState], ['', ContentState.WITHHELD]);
    const { activities } = await the.client(ActivityService, binh).listActivities({});
    const mention = activities.find((activity) => activity.messageId === message?.id);
    assert.ok(mention !== undefined, 'mentions work');
    assert.ok(!inspect([entries, activities], { depth: 20 }).includes('Vb5527'));
  });
});
