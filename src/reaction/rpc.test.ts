import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Code } from '@connectrpc/connect';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, type As, app } from '../../test/kit/app.ts';
import { rejects } from '../../test/kit/rejects.ts';
import { toEmoji } from './view.ts';

const FIRST = 9_007_199_254_740_993n;
const user = (index: number): As => ({ userId: FIRST + BigInt(index), tenantId: 1n });
const ana = user(0);

describe('reactions', () => {
  let the: App;
  let channelId: bigint;

  before(async () => {
    the = await app({ REACTION_MAX_USERS: '200', REACTION_MAX_KINDS: '3' });
    await the.start();
    const memberUserIds = Array.from({ length: 210 }, (_, index) => user(index).userId);
    const { channel } = await the.client(ChannelService, ana).createChannel({ name: 'Kho', memberUserIds });
    channelId = channel?.id ?? 0n;
  });
  after(() => the.close());

  const post = async () => {
    const { message } = await the.client(MessageService, ana).sendMessage({ channelId, content: 'xin chào' });
    return message?.id ?? 0n;
  };
  const react = (as: As, messageId: bigint, emoji = '👍', instance = 0) =>
    the.client(MessageService, as, 'grpc', instance).addReaction({ channelId, messageId, emoji });
  const unreact = (as: As, messageId: bigint, emoji = '👍') =>
    the.client(MessageService, as).removeReaction({ channelId, messageId, emoji });
  const read = async (messageId: bigint) => {
    const { message } = await the.client(MessageService, ana).getMessage({ channelId, messageId });
    return message?.reactions.map(({ emoji, userIds }) => [emoji, userIds]);
  };

  it('of 200 concurrent users are all stored, in the documented form, with exact ids', async () => {
    const messageId = await post();
    const people = Array.from({ length: 200 }, (_, index) => user(index));
    await Promise.all(people.map((as, index) => react(as, messageId, '👍', index % 2)));
    const [[emoji, userIds] = []] = (await read(messageId)) ?? [];
    assert.equal(emoji, '👍');
    assert.deepEqual(new Set(userIds as bigint[]), new Set(people.map(({ userId }) => userId)));
    const [row] = await the.owner<{ exact: boolean; events: number }[]>`
      select
        (
          select array_agg(u::bigint order by u::bigint) = array(select ${FIRST}::bigint + g from generate_series(0, 199) g)
          from jsonb_array_elements(m.reactions -> 0 -> 'users') as u
        ) as exact,
        (select count(*) from channel_events e where e.message_id = m.id and e.kind = 'REACTION_CHANGED')::int as events
      from messages m
      where m.id = ${messageId}
    `;
    assert.deepEqual({ ...row }, { exact: true, events: 200 });
    await rejects(react(user(201), messageId), Code.FailedPrecondition, 'REACTION_LIMIT');
    await Promise.all(people.slice(1).map((as) => unreact(as, messageId)));
    assert.deepEqual(await read(messageId), [['👍', [ana.userId]]]);
  });

  it('do not change and create no event when an add or a removal is repeated', async () => {
    const messageId = await post();
    await Promise.all([react(ana, messageId), react(ana, messageId), react(ana, messageId)]);
    assert.deepEqual(await read(messageId), [['👍', [ana.userId]]]);
    await unreact(ana, messageId);
    await unreact(ana, messageId);
    assert.deepEqual(await read(messageId), []);
    const [row] = await the.owner<{ n: number }[]>`
      select count(*)::int as n from channel_events where message_id = ${messageId}
    `;
    assert.equal(row?.n, 3);
  });

  it('are returned in the order added, with a limit on distinct emoji', async () => {
    const messageId = await post();
    await react(ana, messageId, '❤');
    await react(ana, messageId, ':kho_1:');
    await react(user(1), messageId, '🇻🇳');
    await react(user(1), messageId, '❤️');
    assert.deepEqual(await read(messageId), [
      ['❤️', [ana.userId, user(1).userId]],
      [':kho_1:', [ana.userId]],
      ['🇻🇳', [user(1).userId]],
    ]);
    await rejects(react(ana, messageId, '👍'), Code.FailedPrecondition, 'REACTION_LIMIT');
    await unreact(ana, messageId, ':kho_1:');
    await react(ana, messageId, '👍');
  });

  it('are rejected on deleted messages and from non-members', async () => {
    const messageId = await post();
    await rejects(react({ userId: 5n, tenantId: 1n }, messageId), Code.NotFound, 'MESSAGE_NOT_FOUND');
    await rejects(react({ ...ana, tenantId: 2n }, messageId), Code.NotFound, 'MESSAGE_NOT_FOUND');
    await the.client(MessageService, ana).deleteMessage({ channelId, messageId });
    await rejects(react(ana, messageId), Code.FailedPrecondition, 'MESSAGE_DELETED');
  });
});

describe('toEmoji', () => {
  it('returns the canonical form of any single emoji, and accepts names', () => {
    const forms = [
      ['❤', '❤️'],
      ['❤️', '❤️'],
      ['👍🏽', '👍🏽'],
      ['🏳\u200d🌈', '🏳️\u200d🌈'],
      ['👩\u200d⚕', '👩\u200d⚕️'],
      ['👨\u200d👩\u200d👧\u200d👦', '👨\u200d👩\u200d👧\u200d👦'],
      ['1️⃣', '1️⃣'],
      ['🇻🇳', '🇻🇳'],
      [':+1:', ':+1:'],
      [`:${'a'.repeat(64)}:`, `:${'a'.repeat(64)}:`],
    ];
    for (const [text = '', form] of forms) assert.equal(toEmoji(text), form);
  });

  it('rejects everything else', () => {
    for (const text of ['a', '1', '👍👍', ' 👍', ':A:', '::', ':a b:', `:${'a'.repeat(65)}:`, '\u200d', '🇻'])
      assert.throws(() => toEmoji(text), /must be one emoji/, JSON.stringify(text));
  });
});
