import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { fromJson, toJson, toJsonString } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { EventSchema } from '#gen/serp/discuss/v1/event_pb.ts';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { type Message, MessageSchema, MessageType } from '#gen/serp/discuss/v1/message_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { Store } from '../../client/src/store.ts';
import { type App, type As, app, CONCURRENT } from '../../test/kit/app.ts';
import { createRandom } from '../../test/kit/random.ts';
import { assertNothingToRepair } from '../../test/kit/reconcile.ts';
import { Subscriber } from '../../test/kit/stream.ts';
import { until } from '../../test/kit/until.ts';

const tenantId = 1n;
// Ids beyond what a JavaScript number holds exactly.
const people: readonly As[] = [1n, 2n, 3n, 4n, 5n, 9_007_199_254_740_993n, 9_007_199_254_740_994n].map(
  (userId) => ({ userId, tenantId }),
);
const [owner] = people as [As];
const ROUNDS = 25;
const AT_ONCE = 14;

type Random = ReturnType<typeof createRandom>;

describe('events of messages', () => {
  let the: App;
  let channelId: bigint;
  const random = createRandom(20_261_122);
  const ids: bigint[] = [];
  const authors = new Map<bigint, As>();
  let written = 0;

  before(async () => {
    the = await app({ ...CONCURRENT, CHANNEL_MAX_PINS: '6', EVENT_REPLAY_PAGE: '40' });
    await the.start();
    const { channel } = await the
      .client(ChannelService, owner)
      .createChannel({ name: 'Kho', memberUserIds: people.map(({ userId }) => userId) });
    channelId = channel?.id ?? 0n;
  });
  after(() => the.close());

  it('applied to an old state give the state that is read, after random concurrent changes, live and from the log', async () => {
    console.log(`# seed ${random.seed}`);
    const live = new Subscriber(the.client(EventService, owner, 'web', 1), [channelId]);
    await live.connect();
    const start = live.cursors.get(channelId) ?? 0n;
    const done = new Map<string, number>();
    let between: { state: Map<bigint, Message>; seq: bigint } | undefined;
    for (let round = 0; round < ROUNDS; round += 1) {
      const names = await Promise.all(Array.from({ length: AT_ONCE }, () => act(the, random)));
      for (const name of names) done.set(name, (done.get(name) ?? 0) + 1);
      if (round === Math.floor(ROUNDS / 2)) between = await readState(the);
    }
    const { state, seq } = await readState(the);
    await until(() => live.cursors.get(channelId) === seq, 'all events');
    assert.deepEqual(live.faults, []);
    assertSame(replay(live.events), state, 'live');

    const late = new Subscriber(the.client(EventService, owner), [channelId]);
    late.cursors.set(channelId, start);
    await late.connect();
    await until(() => late.cursors.get(channelId) === seq, 'the log');
    assert.deepEqual(late.faults, []);
    assertSame(replay(late.events), state, 'from the log');
    const resumed = replay(
      late.events.filter((event) => event.seq > (between?.seq ?? 0n)),
      between?.state,
    );
    assertSame(resumed, state, 'from a state and the log after it');
    await Promise.all([live.disconnect(), late.disconnect()]);

    for (const messageId of ids) {
      const { message } = await the.client(MessageService, owner).getMessage({ channelId, messageId });
      assert.deepEqual(json(message), json(state.get(messageId)));
    }
    await assertThreads(the, state);
    await assertNothingLeft(the, state);
    await assertNothingToRepair(the);
    for (const name of [
      'send',
      'notice',
      'reply',
      'edit',
      'delete',
      'react',
      'unreact',
      'poll',
      'vote',
      'pin',
      'unpin',
    ])
      assert.ok((done.get(name) ?? 0) >= 5, `${name} was done ${done.get(name) ?? 0} times: too few to tell`);
  });

  async function act(the: App, random: Random): Promise<string> {
    const as = random.pick(people);
    const client = the.client(MessageService, as, random.below(2) === 0 ? 'grpc' : 'web', random.below(2));
    const chance = random.below(100);
    // Mostly the same few, so that changes meet.
    const among = random.below(3) === 0 ? ids : ids.slice(-5);
    const messageId = ids.length < 8 ? 0n : random.pick(among);
    written += 1;
    const content = `bí mật ${written}.`;
    const emoji = random.pick(['👍', '❤️', ':kho:']);
    const optionIds = random.pick([[1], [2], [1, 3], []]);
    const post = async (fields: object) => {
      const { message } = await client.sendMessage({ channelId, content, ...fields });
      ids.push(message?.id ?? 0n);
      authors.set(message?.id ?? 0n, as);
    };
    try {
      if (messageId > 0n && written % 12 === 0) return await notice(the, content).then(() => 'notice');
      if (messageId === 0n || chance < 10) return await post({}).then(() => 'send');
      if (chance < 16) {
        const poll = { options: ['a', 'b', 'c'], multiple: true, anonymous: random.below(2) === 0 };
        return await post({ type: MessageType.POLL, poll }).then(() => 'poll');
      }
      if (chance < 38)
        return await post({ replyToMessageId: messageId, alsoInChannel: chance % 2 === 0 }).then(
          () => 'reply',
        );
      if (chance < 50) {
        const mentionUserIds = [random.pick(people).userId];
        const updateMask = { paths: ['content', 'mention_user_ids'] };
        const author = the.client(MessageService, authors.get(messageId) ?? as);
        await author.editMessage({ channelId, messageId, content, mentionUserIds, updateMask });
        return 'edit';
      }
      if (chance < 57) {
        const by = the.client(MessageService, chance < 54 ? owner : as);
        return await by.deleteMessage({ channelId, messageId }).then(() => 'delete');
      }
      if (chance < 73) return await client.addReaction({ channelId, messageId, emoji }).then(() => 'react');
      if (chance < 80)
        return await client.removeReaction({ channelId, messageId, emoji }).then(() => 'unreact');
      if (chance < 90) return await vote(client, optionIds).then(() => 'vote');
      if (chance < 95) return await client.pinMessage({ channelId, messageId }).then(() => 'pin');
      return await client.unpinMessage({ channelId, messageId }).then(() => 'unpin');
    } catch (error) {
      const { code } = ConnectError.from(error);
      if (code === Code.FailedPrecondition || code === Code.PermissionDenied) return 'refused';
      throw error;
    }
  }

  /** Lets a notice be posted, which others may act on as on any message. */
  async function notice(the: App, description: string): Promise<void> {
    const updateMask = { paths: ['description'] };
    await the.client(ChannelService, owner).updateChannel({ channelId, description, updateMask });
    const [row] = await the.owner<{ id: bigint }[]>`
      select max(id) as id from messages where channel_id = ${channelId} and notice is not null
    `;
    ids.push(row?.id ?? 0n);
    authors.set(row?.id ?? 0n, owner);
  }

  async function vote(client: ReturnType<typeof the.client<typeof MessageService>>, optionIds: number[]) {
    const polls = await the.owner<{ id: bigint }[]>`
      select id from messages where channel_id = ${channelId} and message_type = 'POLL' order by id
    `;
    const { id } = random.pick([...polls, { id: ids[0] ?? 0n }]);
    await client.votePoll({ channelId, messageId: id, optionIds });
  }

  async function readState(the: App): Promise<{ state: Map<bigint, Message>; seq: bigint }> {
    const state = new Map<bigint, Message>();
    for (let pageToken = ''; ; ) {
      const page = await the.client(MessageService, owner).listMessages({ channelId, pageToken });
      for (const message of page.messages) state.set(message.id, message);
      if (page.nextPageToken === '') return { state, seq: page.headSeq };
      pageToken = page.nextPageToken;
    }
  }

  async function assertThreads(the: App, state: Map<bigint, Message>): Promise<void> {
    const messages = [...state.values()];
    const counted = messages.map((root) => {
      const replies = messages.filter(
        (reply) => reply.rootMessageId === root.id && reply.deleteTime === undefined,
      );
      const senders = new Set(replies.map(({ senderId }) => senderId));
      const shown = root.participantUserIds.filter((userId) => senders.has(userId));
      assert.equal(new Set(shown).size, Math.min(5, senders.size));
      return [root.id, replies.length, senders.size, shown];
    });
    assert.deepEqual(
      messages.map((root) => [root.id, root.replyCount, root.participantCount, root.participantUserIds]),
      counted,
    );
    for (const as of people) {
      const rows = await the.owner<{ id: bigint; unread: number }[]>`
        select f.root_id as id, (
          select count(*)
          from messages r
          where r.parent_id = f.root_id and r.id > f.read_reply_id and r.sender_id != f.user_id and not r.is_deleted
        )::int as unread
        from thread_followers f
        join messages m on m.id = f.root_id
        where f.user_id = ${as.userId} and f.is_following and not m.is_deleted
      `;
      const { entries } = await the.client(MessageService, as).listThreads({ pageSize: 100 });
      assert.deepEqual(
        new Map(entries.map(({ root, state }) => [root?.id, state?.unreadCount])),
        new Map(rows.map(({ id, unread }) => [id, unread])),
      );
    }
  }

  async function assertNothingLeft(the: App, state: Map<bigint, Message>): Promise<void> {
    const rows = await the.owner<{ content: string; left: boolean }[]>`
      select m.content, exists (
        select
        from channel_events e
        where e.channel_id = m.channel_id and position(convert_to(m.content, 'UTF8') in e.payload) > 0
      ) as left
      from messages m
      where m.channel_id = ${channelId} and m.is_deleted and m.notice is null
    `;
    assert.ok(rows.length > 5);
    assert.deepEqual(
      rows.filter(({ left }) => left).map(({ content }) => content),
      [],
    );
    const text = JSON.stringify([...state.values()].map(json));
    for (const { content } of rows) assert.ok(!text.includes(content), content);
  }
});

function replay(events: Subscriber['events'], state: ReadonlyMap<bigint, Message> = new Map()) {
  const store = new Store(`${owner.userId}`);
  const channelId = `${events[0]?.channelId}`;
  const known = [...state.values()].map((message) => JSON.parse(toJsonString(MessageSchema, message)));
  store.loadMessages(channelId, known);
  for (const event of events) store.apply({ event: JSON.parse(toJsonString(EventSchema, event)) });
  const messages = [...store.channel(channelId).log.messages.values()].map((each) =>
    fromJson(MessageSchema, each),
  );
  return new Map(messages.map((message) => [message.id, message]));
}

function assertSame(
  found: ReadonlyMap<bigint, Message>,
  expected: ReadonlyMap<bigint, Message>,
  how: string,
) {
  assert.deepEqual([...found.keys()].sort(), [...expected.keys()].sort(), how);
  for (const [id, message] of expected) assert.deepEqual(json(found.get(id)), json(message), `${how}, ${id}`);
}

function json(message: Message | undefined): unknown {
  return message === undefined ? undefined : toJson(MessageSchema, message);
}
