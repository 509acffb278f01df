import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type DescMessage, fromJson, type JsonValue, type MessageShape, toJson } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import { ChannelSchema } from '#gen/serp/discuss/v1/channel_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { MemberRole, MemberSchema, MembershipSchema } from '#gen/serp/discuss/v1/member_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { MessageSchema, MessageType } from '#gen/serp/discuss/v1/message_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { readChannel } from '../../client/src/read-channel.ts';
import { Store } from '../../client/src/store.ts';
import { Subscription } from '../../client/src/subscription.ts';
import { type App, type As, app } from '../kit/app.ts';
import { jsonTransport } from '../kit/json-transport.ts';
import { createRandom } from '../kit/random.ts';
import { until } from '../kit/until.ts';

const users: readonly As[] = [1n, 2n, 3n, 4n].map((userId) => ({ userId, tenantId: 1n }));
const [viewer, owner] = users as [As, As];
const expected: readonly Code[] = [Code.NotFound, Code.PermissionDenied, Code.FailedPrecondition];
const ROUNDS = 16;
const AT_ONCE = 8;

describe('the store of the client', () => {
  let the: App;
  const random = createRandom(20_261_128);
  const channelIds: bigint[] = [];
  const cleanup: (() => Promise<void>)[] = [];
  const messageIds: { channelId: bigint; id: bigint; author: As }[] = [];

  before(async () => {
    the = await app({ EVENT_REPLAY_EVENTS: '40', EVENT_REPLAY_PAGE: '20', EVENT_HEARTBEAT_MS: '200' });
    await the.start();
    for (const name of ['Kho', 'Bán hàng']) {
      const memberUserIds = users.map(({ userId }) => userId);
      const { channel } = await the.client(ChannelService, owner).createChannel({ name, memberUserIds });
      channelIds.push(channel?.id ?? 0n);
    }
  });
  after(async () => {
    for (const close of cleanup) await close();
    await the.close();
  });

  it('has the state that is read, also after interruptions and lost events', async () => {
    console.log(`# seed ${random.seed}`);
    const store = new Store(`${viewer.userId}`);
    const open = (instance: number) => subscribe(store, instance);
    for (const channelId of channelIds) await readChannel(jsonTransport(the, viewer), store, `${channelId}`);
    let subscription = open(0);
    cleanup.push(() => subscription.close());
    for (let round = 0; round < ROUNDS; round += 1) {
      // An interruption, and one in which more events are missed than the log replays to a stream.
      const away = round % 4 === 2 ? 1 : round === 7 ? 10 : 0;
      if (away > 0) await subscription.close();
      for (let times = 0; times < Math.max(1, away); times += 1)
        await Promise.all(Array.from({ length: AT_ONCE }, act));
      if (away > 0) subscription = open(round % 2);
      if (round % 3 === 0) {
        await caughtUp(store);
        await the.client(MemberService, viewer).markRead({ channelId: random.pick(channelIds), all: true });
      }
    }
    await caughtUp(store);
    for (const channelId of channelIds) await assertSame(store, channelId);
  });

  function subscribe(store: Store, instance: number): Subscription {
    const transport = jsonTransport(the, viewer, instance);
    return new Subscription({
      transport,
      store,
      read: (channelId) => readChannel(transport, store, channelId),
    });
  }

  async function caughtUp(store: Store): Promise<void> {
    for (const channelId of channelIds)
      await until(async () => {
        const { headSeq, membership } = await the.client(ChannelService, viewer).getChannel({ channelId });
        const { seq, isOutdated, membership: own } = store.channel(`${channelId}`);
        const isRead = `${membership?.lastReadMessageId}` === (own?.lastReadMessageId ?? '0');
        return seq === `${headSeq}` && !isOutdated && isRead;
      }, `all events of ${channelId}`);
  }

  async function assertSame(store: Store, channelId: bigint): Promise<void> {
    const { channel, membership } = await the.client(ChannelService, viewer).getChannel({ channelId });
    const state = store.channel(`${channelId}`);
    assert.deepEqual(canonical(ChannelSchema, state.channel), json(ChannelSchema, channel));
    assert.deepEqual(canonical(MembershipSchema, state.membership), json(MembershipSchema, membership));
    const { members } = await the.client(MemberService, viewer).listMembers({ channelId });
    assert.deepEqual(
      [...state.members.values()].map((member) => canonical(MemberSchema, member)).sort(byText),
      members.map((member) => json(MemberSchema, member)).sort(byText),
    );
    const { messages } = await the.client(MessageService, viewer).listMessages({ channelId });
    for (const message of messages)
      assert.deepEqual(
        canonical(MessageSchema, state.log.messages.get(`${message.id}`)),
        json(MessageSchema, message),
      );
    assert.ok(messages.length >= 20, `${messages.length} messages`);
  }

  async function act(): Promise<void> {
    const as = random.pick(users);
    const channelId = random.pick(channelIds);
    const target = messageIds.length === 0 ? undefined : random.pick(messageIds.slice(-12));
    const chance = random.below(100);
    try {
      if (target === undefined || chance < 45) return await post(as, channelId, {});
      if (chance < 60) return await post(as, target.channelId, { replyToMessageId: target.id });
      await change(as, channelId, target, chance);
    } catch (error) {
      if (!expected.includes(ConnectError.from(error).code)) throw error;
    }
  }

  async function change(as: As, channelId: bigint, target: (typeof messageIds)[number], chance: number) {
    const about = { channelId: target.channelId, messageId: target.id };
    const messages = the.client(MessageService, as);
    const members = the.client(MemberService, owner);
    const userId = random.pick([3n, 4n]);
    if (chance < 67) await messages.addReaction({ ...about, emoji: random.pick(['👍', ':kho:']) });
    else if (chance < 72) await messages.removeReaction({ ...about, emoji: '👍' });
    else if (chance < 80) await the.client(MessageService, owner).deleteMessage(about);
    else if (chance < 84) await messages.pinMessage(about);
    else if (chance < 88)
      await the
        .client(MessageService, target.author)
        .editMessage({ ...about, content: 'Sửa', updateMask: { paths: ['content'] } });
    else if (chance < 91) await members.removeMember({ channelId, userId });
    else if (chance < 95) await members.addMembers({ channelId, userIds: [userId] });
    else if (chance < 97)
      await members.updateMemberRole({
        channelId,
        userId,
        role: random.pick([MemberRole.ADMIN, MemberRole.MEMBER]),
      });
    else
      await the
        .client(ChannelService, owner)
        .updateChannel({ channelId, name: `Kho ${chance}`, updateMask: { paths: ['name'] } });
  }

  async function post(as: As, channelId: bigint, fields: object): Promise<void> {
    const content = `Tin ${messageIds.length}`;
    const { message } = await the
      .client(MessageService, as)
      .sendMessage({ channelId, content, type: MessageType.TEXT, ...fields });
    messageIds.push({ channelId, id: message?.id ?? 0n, author: as });
  }
});

function json<D extends DescMessage>(desc: D, message: MessageShape<D> | undefined): unknown {
  return message === undefined ? undefined : toJson(desc, message);
}

/** Without fields that have their default values. */
function canonical(desc: DescMessage, value: JsonValue | undefined): unknown {
  return value === undefined ? undefined : toJson(desc, fromJson(desc, value));
}

function byText(a: unknown, b: unknown): number {
  return JSON.stringify(a) < JSON.stringify(b) ? -1 : 1;
}
