import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { Code } from '@connectrpc/connect';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { MessageSchema, type Reaction } from '#gen/serp/discuss/v1/message_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, type As, app, CONCURRENT } from '../../test/kit/app.ts';
import { DecodedLog } from '../../test/kit/decoded-log.ts';
import { untilLocksAreAwaited } from '../../test/kit/locks.ts';
import { rejects } from '../../test/kit/rejects.ts';
import { Subscriber } from '../../test/kit/stream.ts';
import { until } from '../../test/kit/until.ts';
import { toEmoji } from './view.ts';

const FIRST = 9_007_199_254_740_993n;
const user = (index: number): As => ({ userId: FIRST + BigInt(index), tenantId: 1n });
const ana = user(0);

describe('reactions', () => {
  let the: App;
  let channelId: bigint;

  before(async () => {
    the = await app({ ...CONCURRENT, REACTION_MAX_USERS: '200', REACTION_MAX_KINDS: '3' });
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
  const list = async (as: As, request: { messageId: bigint; emoji?: string; pageSize?: number }) => {
    const pairs: ReturnType<typeof toPair>[] = [];
    for (let pageToken = ''; ; ) {
      const page = await the.client(MessageService, as).listReactions({ ...request, channelId, pageToken });
      pairs.push(...page.entries.map(toPair));
      if (page.nextPageToken === '') return pairs;
      pageToken = page.nextPageToken;
    }
  };
  const waiting = async () => (await the.instances[0]?.deps.metrics.reactionsWaiting.get())?.values[0]?.value;
  const read = async (messageId: bigint) => {
    const { message } = await the.client(MessageService, ana).getMessage({ channelId, messageId });
    return message?.reactions.map(({ emoji, userIds }) => [emoji, userIds]);
  };

  it('of 200 concurrent users are all stored, in the documented form, with exact ids', async () => {
    const messageId = await post();
    const people = Array.from({ length: 200 }, (_, index) => user(index));
    await Promise.all(people.map((as, index) => react(as, messageId, '👍', index % 2)));
    const { message } = await the.client(MessageService, ana).getMessage({ channelId, messageId });
    assert.equal(message?.reactions[0]?.count, 200);
    const entries = await list(ana, { messageId, pageSize: 70 });
    assert.deepEqual(
      entries,
      people.map(({ userId }) => ['👍', userId]),
    );
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

  it('of more than 20 users are named up to 20 and counted, the same after each event as when read', async () => {
    const messageId = await post();
    const projection = new DecodedLog();
    const subscriber = new Subscriber(the.client(EventService, ana, 'web', 1), [channelId]);
    await subscriber.connect();
    const { message } = await the.client(MessageService, ana).getMessage({ channelId, messageId });
    assert.ok(message);
    projection.load([message]);
    const people = Array.from({ length: 30 }, (_, index) => user(index));
    for (const as of people) await react(as, messageId);
    const steps: (() => Promise<{ reactions: Reaction[] }>)[] = [
      () => unreact(user(3), messageId),
      () => unreact(user(25), messageId),
      () => react(user(3), messageId),
      () => react(user(40), messageId, ':kho:'),
      ...people.slice(4, 24).map((as) => () => unreact(as, messageId)),
    ];
    let applied = 0;
    for (const step of steps) {
      const { reactions } = await step();
      await until(() => subscriber.events.length === people.length + steps.indexOf(step) + 1, 'the event');
      for (const event of subscriber.events.slice(applied)) projection.apply(event);
      applied = subscriber.events.length;
      assert.deepEqual(projection.messages.get(messageId)?.reactions, reactions);
      // The third page of a version comes from the cache.
      for (let read = 0; read < 3; read += 1) {
        const page = await the.client(MessageService, ana).listMessages({ channelId });
        assert.deepEqual(page.messages.find(({ id }) => id === messageId)?.reactions, reactions);
      }
    }
    await subscriber.disconnect();
    const [given] = projection.messages.get(messageId)?.reactions ?? [];
    assert.deepEqual(
      [given?.count, given?.userIds],
      [9, [0, 1, 2, 24, 26, 27, 28, 29, 3].map((index) => user(index).userId)],
    );
  });

  it('that arrive together are one transaction, with an outcome for each caller and events in order', async () => {
    const messageId = await post();
    const subscriber = new Subscriber(the.client(EventService, ana, 'web', 1), [channelId]);
    await subscriber.connect();
    const projection = new DecodedLog();
    projection.load([create(MessageSchema, { id: messageId, channelId })]);
    for (const index of [1, 2]) await react(user(index), messageId, '❤️');
    await the.owner`
      update channel_members set status = 'MUTED' where channel_id = ${channelId} and user_id = ${user(9).userId}
    `;
    const lock = await the.owner.reserve();
    await lock`begin`;
    await lock`select from channels where id = ${channelId} for no key update`;
    const first = react(ana, messageId);
    await untilLocksAreAwaited(the, 1);
    const together = [
      ...[1, 2, 3, 4].map((index) => react(user(index), messageId)),
      ...[1, 2, 3].map((index) => unreact(user(index), messageId, '❤️')),
      react(user(1), messageId, ':kho:'),
      react(user(5), messageId, '❤️'),
      ...[1, 2].map((index) => react(user(index), messageId)),
    ];
    const rejected = Promise.all([
      rejects(react({ userId: 5n, tenantId: 1n }, messageId), Code.NotFound, 'MESSAGE_NOT_FOUND'),
      rejects(react({ ...ana, tenantId: 2n }, messageId), Code.NotFound, 'MESSAGE_NOT_FOUND'),
      rejects(react(user(9), messageId), Code.PermissionDenied, 'ROLE_TOO_LOW'),
    ]);
    await until(async () => (await waiting()) === together.length + 2, 'the arrival of all reactions');
    await lock`rollback`;
    lock.release();
    await Promise.all([first, ...together, rejected]);

    const { message } = await the.client(MessageService, ana).getMessage({ channelId, messageId });
    assert.deepEqual(
      new Map(message?.reactions.map(({ emoji, userIds }) => [emoji, new Set(userIds)])),
      new Map([
        ['👍', new Set([0, 1, 2, 3, 4].map((index) => user(index).userId))],
        [':kho:', new Set([user(1).userId])],
        ['❤️', new Set([user(5).userId])],
      ]),
    );
    await until(() => subscriber.events.length === 11, 'all events');
    for (const event of subscriber.events) projection.apply(event);
    await subscriber.disconnect();
    assert.deepEqual(projection.messages.get(messageId)?.reactions, message?.reactions);
    const [row] = await the.owner<{ transactions: number }[]>`
      select count(distinct xmin::text)::int as transactions
      from channel_events
      where message_id = ${messageId} and kind = 'REACTION_CHANGED'
    `;
    assert.equal(row?.transactions, 4, 'two before, the first, and all others');
  });

  it('are listed for all emoji or one, each once, also when others are removed between pages', async () => {
    const messageId = await post();
    const emojis = ['👍', '❤️', ':kho:'];
    for (const emoji of emojis)
      for (let index = 0; index < 5; index += 1) await react(user(index), messageId, emoji);
    const all = await list(ana, { messageId, pageSize: 4 });
    assert.deepEqual(
      new Set(all.map(([emoji, userId]) => `${emoji} ${userId}`)),
      new Set(emojis.flatMap((emoji) => [0, 1, 2, 3, 4].map((index) => `${emoji} ${user(index).userId}`))),
    );
    assert.equal(all.length, 15);
    assert.deepEqual(
      await list(ana, { messageId, emoji: '❤', pageSize: 2 }),
      [0, 1, 2, 3, 4].map((index) => ['❤️', user(index).userId]),
    );
    const client = the.client(MessageService, ana);
    const first = await client.listReactions({ channelId, messageId, pageSize: 7 });
    for (const { emoji, userId } of first.entries) await unreact({ userId, tenantId: 1n }, messageId, emoji);
    const { nextPageToken: pageToken } = first;
    const rest = await client.listReactions({ channelId, messageId, pageSize: 100, pageToken });
    assert.deepEqual(rest.entries.map(toPair), all.slice(7));
    await rejects(
      client.listReactions({ channelId, messageId: messageId + 1n, pageToken }),
      Code.InvalidArgument,
      'FIELD_INVALID',
    );
    await the.client(MessageService, ana).deleteMessage({ channelId, messageId });
    assert.deepEqual(await list(ana, { messageId }), []);
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

function toPair({ emoji, userId }: { readonly emoji: string; readonly userId: bigint }) {
  return [emoji, userId] as const;
}

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
