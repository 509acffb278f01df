import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { toJson } from '@bufbuild/protobuf';
import { Code } from '@connectrpc/connect';
import { Cluster } from 'ioredis';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { MessageType } from '#gen/serp/discuss/v1/message_pb.ts';
import {
  type ListMessagesResponse,
  ListMessagesResponseSchema,
  MessageService,
} from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, type As, app } from '../../test/kit/app.ts';
import { rejects } from '../../test/kit/rejects.ts';
import { until } from '../../test/kit/until.ts';
import type { RedisClient } from '../redis/client.ts';

const tenantId = 1n;
const ana: As = { userId: 1n, tenantId };
// An id that a JavaScript number does not hold.
const binh: As = { userId: 9_007_199_254_740_993n, tenantId };
const CACHED = 0;
const BYPASSING = 1;

describe('the cache of newest messages', () => {
  let the: App;
  let redis: RedisClient;
  let channelId: bigint;

  before(async () => {
    the = await app();
    await the.start({ CACHE_MESSAGES: 'false' });
    redis = the.redis.client;
  });
  after(() => the.close());
  beforeEach(async () => {
    const { channel } = await the
      .client(ChannelService, ana)
      .createChannel({ name: 'Kho', memberUserIds: [binh.userId] });
    channelId = channel?.id ?? 0n;
  });

  const messages = (as = ana, instance = CACHED) => the.client(MessageService, as, 'grpc', instance);
  const post = async (content: string, as = ana) => {
    const { message } = await messages(as).sendMessage({ channelId, content });
    return message?.id ?? 0n;
  };
  const read = (pageSize = 0, as = ana, instance = CACHED) =>
    messages(as, instance).listMessages({ channelId, pageSize });
  const key = () => `channel:${channelId}:messages`;
  const head = () => `{channel:${channelId}:messages}:head`;
  const reads = async (result: string) => {
    const { values } = (await the.instances[CACHED]?.deps.metrics.cacheReads.get()) ?? { values: [] };
    return values.find(({ labels }) => labels.cache === 'messages' && labels.result === result)?.value ?? 0;
  };
  /** Reads until an answer comes from the cache, and returns it. */
  const readKept = async (pageSize = 0, as = ana): Promise<ListMessagesResponse> => {
    let answer = await read(pageSize, as);
    const before = await reads('hit');
    await until(async () => {
      answer = await read(pageSize, as);
      return (await reads('hit')) > before;
    }, 'an answer from the cache');
    return answer;
  };

  it('returns what PostgreSQL returns, for every kind of message and page', async () => {
    const root = await post('gốc');
    const poll = { options: ['có', 'không'], anonymous: false };
    const asked = await messages(binh).sendMessage({
      channelId,
      type: MessageType.POLL,
      content: 'Đi không?',
      poll,
    });
    await messages(binh).votePoll({ channelId, messageId: asked.message?.id ?? 0n, optionIds: [2] });
    const mentionUserIds = [binh.userId];
    const metadata = { language: 'sql', n: [1, null, { a_b: 'c' }] };
    const type = MessageType.CODE;
    await messages().sendMessage({ channelId, type, content: 'select 1', metadata, mentionUserIds });
    await messages(binh).sendMessage({
      channelId,
      replyToMessageId: root,
      content: 'trả lời',
      alsoInChannel: true,
    });
    await messages(binh).addReaction({ channelId, messageId: root, emoji: '❤️' });
    await messages().pinMessage({ channelId, messageId: root });
    await messages().deleteMessage({ channelId, messageId: await post('bỏ') });
    await messages().editMessage({
      channelId,
      messageId: await post('củ'),
      content: 'cũ',
      updateMask: { paths: ['content'] },
    });
    await Promise.all(Array.from({ length: 40 }, (_, index) => post(`cùng lúc ${index}`)));
    for (const pageSize of [1, 5, 46, 47, 48, 100, 0]) {
      const cached = await readKept(pageSize);
      assert.deepEqual(json(cached), json(await read(pageSize, ana, BYPASSING)), `${pageSize}`);
      // Only the token depends on the reader.
      const { nextPageToken } = cached;
      const another = await read(pageSize, binh, BYPASSING);
      assert.deepEqual(json(cached), json({ ...another, nextPageToken }), `${pageSize}, another reader`);
    }
  });

  it('has the documented form and expires after an hour', async () => {
    for (let index = 0; index < 120; index += 1) await post(`tin ${index}`);
    await readKept(100);
    assert.equal(await redis.type(key()), 'zset');
    assert.equal(await redis.zcard(key()), 100);
    for (const name of [key(), head()]) {
      const ttl = await redis.ttl(name);
      assert.ok(ttl > 3_500 && ttl <= 3_600, `${name}: ${ttl}`);
    }
    const [member = '', score] = await redis.zrange(key(), -1, '-1', 'WITHSCORES');
    const { messages: shown } = await read(1);
    const { id, content } = JSON.parse(member);
    assert.deepEqual([BigInt(id), content], [shown[0]?.id, 'tin 119']);
    assert.equal(
      BigInt(score ?? 0),
      (shown[0]?.createTime?.seconds ?? 0n) * 1000n + ms(shown[0]?.createTime?.nanos),
    );
  });

  it('holds 100 messages, whatever the size of the pages that were read', async () => {
    const ids: bigint[] = [];
    for (let index = 0; index < 120; index += 1) ids.push(await post(`tin ${index}`));
    await readKept(10);
    assert.equal(await redis.zcard(key()), 100);
    const before = await reads('hit');
    const page = await read(100);
    assert.equal(await reads('hit'), before + 1);
    assert.deepEqual(
      page.messages.map(({ id }) => id),
      ids.slice(-100),
    );
    assert.deepEqual(json(page), json(await read(100, ana, BYPASSING)));
  });

  it('is not readable for non-members and former members', async () => {
    await post('mật');
    await readKept(0, binh);
    await rejects(read(0, { userId: 5n, tenantId }), Code.NotFound, 'CHANNEL_NOT_FOUND');
    await rejects(read(0, { ...ana, tenantId: 2n }), Code.NotFound, 'CHANNEL_NOT_FOUND');
    await the.client(MemberService, binh).leaveChannel({ channelId });
    await rejects(read(0, binh), Code.NotFound, 'CHANNEL_NOT_FOUND');
  });

  it('drops edited and deleted content, and rejects it from an instance that read it before', async () => {
    const { deps } = the.instances[CACHED] ?? assert.fail();
    for (const change of ['edit', 'delete'] as const) {
      const messageId = await post(`bí mật ${change}`);
      await readKept();
      const before = await deps.messageCache.find(channelId, 1);
      assert.ok(
        before !== undefined && (await redis.zrange(key(), 0, '-1')).join().includes(`bí mật ${change}`),
      );
      const updateMask = { paths: ['content'] };
      if (change === 'edit')
        await messages().editMessage({ channelId, messageId, content: 'khác', updateMask });
      else await messages().deleteMessage({ channelId, messageId });
      await until(async () => (await redis.exists(key())) === 0, 'the messages to be gone');
      deps.messageCache.keep(channelId, before);
      // Asked for over the same connection.
      assert.equal(await deps.messageCache.find(channelId, 1), undefined);
      assert.equal(await redis.exists(key()), 0);
      assert.deepEqual(json(await readKept()), json(await read(0, ana, BYPASSING)));
    }
  });

  it('does not hold pages of more than 256 KiB', async () => {
    await post('nhỏ');
    await readKept();
    const large = 'ạ'.repeat(9_000);
    for (let count = 0; count < 10; count += 1) await post(large);
    const before = await reads('hit');
    for (let count = 0; count < 5; count += 1) assert.equal((await read()).messages.length, 11);
    await readKept(5);
    assert.equal(await reads('hit'), before + 1);
    assert.ok(((await redis.memory('USAGE', key())) ?? 0) < 256 * 1024);
  });

  it('is ignored when it contains an old version', async () => {
    const { deps } = the.instances[CACHED] ?? assert.fail();
    const messageId = await post('một');
    await readKept();
    const before = await deps.messageCache.find(channelId, 1);
    assert.ok(before !== undefined);
    const { reactions } = await messages(binh).addReaction({ channelId, messageId, emoji: '👍' });
    await redis.del(key(), head());
    deps.messageCache.keep(channelId, before);
    await until(async () => (await redis.exists(key())) === 1, 'the old version');
    const answer = await read();
    assert.deepEqual(answer.messages[0]?.reactions, reactions);
  });

  it('detects changes and deletions by plain SQL', async () => {
    const ids = [await post('một'), await post('hai'), await post('ba')];
    await readKept();
    await the.owner`update messages set content = 'hai, sửa' where id = ${ids[1] ?? 0n}`;
    assert.deepEqual(contents(await readKept()), ['một', 'hai, sửa', 'ba']);
    await the.owner`update messages set is_deleted = true where id = ${ids[2] ?? 0n}`;
    assert.deepEqual(contents(await readKept()), ['một', 'hai, sửa', '']);
    await the.owner`delete from messages where id = ${ids[2] ?? 0n}`;
    assert.deepEqual(contents(await readKept()), ['một', 'hai, sửa']);
  });

  it('is ignored after a restore of the database, even if sequence numbers repeat', async () => {
    const messageId = await post('trước');
    const change = (content: string) =>
      messages().editMessage({ channelId, messageId, content, updateMask: { paths: ['content'] } });
    const [backup] = await the.owner<{ eventSeq: bigint; unreadVersion: bigint }[]>`
      select event_seq, unread_version from channels where id = ${channelId}
    `;
    await change('mất');
    assert.deepEqual(contents(await readKept()), ['mất']);
    await the.owner.begin(async (sql) => {
      await sql`set local session_replication_role = replica`;
      await sql`delete from channel_events where channel_id = ${channelId} and seq > ${backup?.eventSeq ?? 0n}`;
      await sql`update channels set ${sql({ ...backup })} where id = ${channelId}`;
      await sql`create or replace function database_epoch() returns text language sql stable return 'restored'`;
    });
    await change('sau');
    assert.deepEqual(contents(await read()), ['sau']);
  });

  it('ignores keys that are missing, malformed or written by other programs', async () => {
    await post('một');
    await post('hai');
    const spoil: (() => Promise<unknown>)[] = [
      () => redis.del(key()),
      () => redis.del(head()),
      () => the.redis.forget(),
      () => redis.zadd(key(), 1, '{"id":1,"content":"Hello"}'),
      () => redis.zremrangebyrank(key(), 0, 0),
      () => redis.zremrangebyrank(key(), 0, 0).then(() => redis.zadd(key(), 1, 'not JSON')),
      () => redis.set(key(), 'not a set'),
      () => redis.set(head(), 'not a version'),
      () => redis.del(head()).then(() => redis.hset(head(), 'a', 'b')),
    ];
    for (const act of spoil) {
      await the.redis.forget();
      // After a failure Redis is left alone for a moment.
      await readKept();
      await act();
      assert.deepEqual(contents(await read()), ['một', 'hai'], `${act}`);
    }
  });

  it('does not delay calls while Redis is unresponsive or unavailable', async () => {
    await post('một');
    await readKept();
    const servers = redis instanceof Cluster ? redis.nodes('master') : [redis];
    await Promise.all(servers.map((server) => server.client('PAUSE', 4_000, 'ALL')));
    const began = performance.now();
    for (let index = 0; index < 5; index += 1) assert.deepEqual(contents(await read()), ['một']);
    assert.ok(performance.now() - began < 8_000, 'five reads waited 2 s each for Redis');
    await the.redis.stop();
    assert.deepEqual(contents(await read()), ['một']);
    await post('hai');
    assert.deepEqual(contents(await read()), ['một', 'hai']);
    await the.redis.start();
    assert.deepEqual(contents(await readKept()), ['một', 'hai']);
  });
});

function contents({ messages }: ListMessagesResponse): string[] {
  return messages.map(({ content }) => content);
}

function json(answer: ListMessagesResponse): unknown {
  return toJson(ListMessagesResponseSchema, answer);
}

function ms(nanos = 0): bigint {
  return BigInt(nanos / 1_000_000);
}
