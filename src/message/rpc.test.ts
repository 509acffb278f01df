import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { Code } from '@connectrpc/connect';
import { BadRequestSchema } from '#gen/google/rpc/error_details_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { MessageType } from '#gen/serp/discuss/v1/message_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, app, CONCURRENT } from '../../test/kit/app.ts';
import { rejects } from '../../test/kit/rejects.ts';

const ana = { userId: 1n, tenantId: 1n };
const binh = { userId: 2n, tenantId: 1n };
const stranger = { userId: 3n, tenantId: 1n };
const foreigner = { userId: 1n, tenantId: 2n };

describe('MessageService', () => {
  let the: App;
  let channelId: bigint;

  before(async () => {
    the = await app(CONCURRENT);
    await the.start();
  });
  after(() => the.close());

  const group = async (memberUserIds = [2n]) => {
    const { channel } = await the
      .client(ChannelService, ana)
      .createChannel({ name: 'Kho vận', memberUserIds, private: true });
    return channel?.id ?? 0n;
  };
  const send = (content: string, as = ana, rest: object = {}) =>
    the.client(MessageService, as).sendMessage({ channelId, content, ...rest });

  before(async () => {
    channelId = await group();
  });

  it('posts a message that all members read as posted', async () => {
    const metadata = { language: 'sql', lineCount: 1, Tên: { a_b: [true, null] } };
    const { message } = await send('select 1; -- đơn hàng', ana, {
      type: MessageType.CODE,
      mentionUserIds: [2n, 2n],
      metadata,
    });
    assert.equal(message?.content, 'select 1; -- đơn hàng');
    assert.equal(message.type, MessageType.CODE);
    assert.deepEqual(message.mentionUserIds, [2n]);
    assert.deepEqual(message.metadata, metadata);
    const read = await the.client(MessageService, binh).getMessage({ channelId, messageId: message.id });
    assert.deepEqual(read.message, message);
    const history = await the.client(MessageService, binh, 'web', 1).listMessages({ channelId, pageSize: 1 });
    assert.deepEqual(history.messages, [message]);
  });

  it('takes create times from the database, never decreasing within a channel', async () => {
    const sent = await Promise.all(Array.from({ length: 40 }, (_, index) => send(`đồng hồ ${index}`)));
    const messages = sent.map(({ message }) => message).sort((a, b) => Number((a?.id ?? 0n) - (b?.id ?? 0n)));
    const times = messages.map(
      (message) => `${message?.createTime?.seconds}.${String(message?.createTime?.nanos).padStart(9, '0')}`,
    );
    assert.deepEqual(times, [...times].sort());
    const positions = messages.map((message) => message?.position ?? 0n);
    assert.deepEqual(
      positions,
      positions.map((_, index) => (positions[0] ?? 0n) + BigInt(index)),
    );
  });

  it('posts one message for a request id of 50 concurrent calls on two instances', async () => {
    const requestId = randomUUID();
    const calls = Array.from({ length: 50 }, (_, index) =>
      the.client(MessageService, ana, index % 3 === 0 ? 'web' : 'grpc', index % 2).sendMessage({
        channelId,
        content: 'một lần thôi',
        requestId,
      }),
    );
    const answers = await Promise.all(calls);
    assert.equal(new Set(answers.map(({ message }) => message?.id)).size, 1);
    assert.equal(answers.filter(({ repeatedRequest }) => !repeatedRequest).length, 1);
    const [row] = await the.owner`select count(*)::int as n from messages where content = 'một lần thôi'`;
    assert.equal(row?.['n'], 1);
  });

  it('recognises a retry with metadata in another order', async () => {
    const requestId = randomUUID();
    await send('một', ana, { requestId, metadata: { a: 1, b: { c: 2, d: 3 } } });
    const again = await send('một', ana, { requestId, metadata: { b: { d: 3, c: 2 }, a: 1 } });
    assert.equal(again.repeatedRequest, true);
    const other = send('một', ana, { requestId, metadata: { a: 1, b: { c: 2, d: 4 } } });
    await rejects(other, Code.AlreadyExists, 'REQUEST_ID_REUSED');
  });

  it('rejects a request id that was used for another message', async () => {
    const requestId = randomUUID();
    await send('một', ana, { requestId });
    await rejects(send('hai', ana, { requestId }), Code.AlreadyExists, 'REQUEST_ID_REUSED');
    const { repeatedRequest } = await send('hai', binh, { requestId });
    assert.equal(repeatedRequest, false, 'ids are unique per user');
  });

  it('returns the current message to a retry, also within a batch of other channels', async () => {
    const requestId = randomUUID();
    const first = await send('gốc', ana, { requestId, metadata: { b: 1, a: 2 } });
    await send('trả lời', binh, { replyToMessageId: first.message?.id });
    const again = await send('gốc', ana, { requestId, metadata: { a: 2, b: 1 } });
    assert.equal(again.message?.id, first.message?.id);
    assert.equal(again.message?.replyCount, 1);
  });

  it('adds a reply to a reply to the same thread, and counts concurrent replies exactly', async () => {
    const { message: root } = await send('chủ đề');
    const { message: reply } = await send('trả lời', binh, { replyToMessageId: root?.id });
    assert.equal(reply?.rootMessageId, root?.id);
    const replies = Array.from({ length: 30 }, (_, index) =>
      send(`đáp ${index}`, ana, { replyToMessageId: reply?.id }),
    );
    for (const { message } of await Promise.all(replies)) assert.equal(message?.rootMessageId, root?.id);
    const read = await the.client(MessageService, ana).getMessage({ channelId, messageId: root?.id ?? 0n });
    assert.equal(read.message?.replyCount, 31);
  });

  it('rejects a parent of another channel as NOT_FOUND', async () => {
    const elsewhere = await group();
    const { message } = await the
      .client(MessageService, ana)
      .sendMessage({ channelId: elsewhere, content: 'khác' });
    await rejects(send('x', ana, { replyToMessageId: message?.id }), Code.NotFound, 'MESSAGE_NOT_FOUND');
  });

  it('returns NOT_FOUND to non-members and other tenants, whose messages fail alone in a batch', async () => {
    const outcomes = await Promise.allSettled([
      send('được 1'),
      send('không 1', stranger),
      send('được 2', binh),
      send('không 2', foreigner),
      the.client(MessageService, ana).sendMessage({ channelId: 999_999n, content: 'không 3' }),
    ]);
    assert.deepEqual(
      outcomes.map(({ status }) => status),
      ['fulfilled', 'rejected', 'fulfilled', 'rejected', 'rejected'],
    );
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected')
        await rejects(Promise.reject(outcome.reason), Code.NotFound, 'CHANNEL_NOT_FOUND');
    }
  });

  it('names the invalid field in the error', async () => {
    const wrong: [object, string][] = [
      [{ content: '' }, 'content'],
      [{ content: ' \n\t ' }, 'content'],
      [{ content: 'x'.repeat(10_001) }, 'content'],
      [{ content: '👍🏽'.repeat(8_193) }, 'content'],
      [{ content: 'a\0b' }, 'content'],
      [{ channelId: 0n }, 'channel_id'],
      [{ channelId: -1n }, 'channel_id'],
      [{ requestId: 'not-a-uuid' }, 'request_id'],
      [{ type: MessageType.IMAGE }, 'type'],
      [{ type: MessageType.FILE }, 'type'],
      [{ type: 99 }, 'type'],
      [{ mentionUserIds: [0n] }, 'mention_user_ids[0]'],
      [{ mentionUserIds: Array.from({ length: 101 }, (_, index) => BigInt(index + 1)) }, 'mention_user_ids'],
      [{ replyToMessageId: -1n }, 'reply_to_message_id'],
      [{ metadata: { big: 'x'.repeat(9_000) } }, 'metadata'],
    ];
    for (const [fields, name] of wrong) {
      const error = await rejects(send('đúng', ana, fields), Code.InvalidArgument, 'FIELD_INVALID');
      const violations = error
        .findDetails(BadRequestSchema)
        .flatMap(({ fieldViolations }) => fieldViolations);
      assert.deepEqual(
        [...new Set(violations.map(({ field }) => field))],
        [name],
        JSON.stringify(Object.keys(fields)),
      );
    }
  });

  it('limits content to 10,000 grapheme clusters, not code points, bytes or UTF-16 units', async () => {
    for (const content of ['👍'.repeat(10_000), 'e\u0302\u0301'.repeat(10_000), '🇻🇳'.repeat(8_000)]) {
      const { message } = await send(content);
      assert.equal(message?.content, content);
    }
  });

  it('pages through history in both directions and around any message without loss', async () => {
    channelId = await group();
    const ids: bigint[] = [];
    for (let index = 0; index < 23; index += 1) ids.push((await send(`tin ${index}`)).message?.id ?? 0n);
    const client = the.client(MessageService, binh);
    for (const pageSize of [1, 4, 22, 23, 24, 100]) {
      assert.deepEqual(await walk({ pageSize }), ids, `newest first, ${pageSize}`);
      assert.deepEqual(
        await walk({ pageSize, position: { case: 'afterMessageId', value: 0n } }),
        ids,
        `oldest first, ${pageSize}`,
      );
    }
    for (const [index, value] of ids.entries()) {
      const page = await client.listMessages({
        channelId,
        pageSize: 5,
        position: { case: 'aroundMessageId', value },
      });
      const from = Math.max(0, index - 2);
      assert.deepEqual(
        page.messages.map(({ id }) => id),
        ids.slice(from, index + 3),
      );
      assert.equal(page.hasOlder, from > 0);
      assert.equal(page.hasNewer, index + 3 < ids.length);
    }
    const beforeFirst = await client.listMessages({
      channelId,
      position: { case: 'beforeMessageId', value: ids[0] ?? 0n },
    });
    assert.deepEqual(
      [beforeFirst.messages.length, beforeFirst.hasOlder, beforeFirst.hasNewer],
      [0, false, true],
    );

    async function walk(request: object): Promise<bigint[]> {
      const newerFirst = 'position' in request;
      const seen: bigint[] = [];
      for (let pageToken = ''; ; ) {
        const page = await client.listMessages({ channelId, pageToken, ...request });
        const pageIds = page.messages.map(({ id }) => id);
        if (newerFirst) seen.push(...pageIds);
        else seen.unshift(...pageIds);
        if (page.nextPageToken === '') return seen;
        pageToken = page.nextPageToken;
      }
    }
  });

  it('rejects a page token that this method did not return', async () => {
    for (const pageToken of [
      'x',
      'bnVsbA',
      Buffer.from('[1,2]').toString('base64url'),
      Buffer.from('["a","1"]').toString('base64url'),
    ]) {
      const call = the.client(MessageService, ana).listMessages({ channelId, pageToken });
      await rejects(call, Code.InvalidArgument, 'FIELD_INVALID');
    }
  });

  it('rejects messages in an archived channel', async () => {
    const archived = await group();
    await the.owner`update channels set is_archived = true where id = ${archived}`;
    const call = the.client(MessageService, ana).sendMessage({ channelId: archived, content: 'muộn' });
    await rejects(call, Code.FailedPrecondition, 'CHANNEL_ARCHIVED');
  });

  it('appends an event with the message that it returns and lists', async () => {
    const { message } = await send('ba nơi một lời', ana, { mentionUserIds: [2n], metadata: { k: 'v' } });
    const [row] = await the.owner`
      select payload from channel_events where message_id = ${message?.id ?? 0n}
    `;
    const { toEvent } = await import('../event/log/wire.ts');
    const { change } = toEvent(row?.['payload']);
    assert.equal(change.case, 'messageCreated');
    assert.deepEqual(change.value.message, message);
  });
});
