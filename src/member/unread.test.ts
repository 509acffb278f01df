import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Code, ConnectError } from '@connectrpc/connect';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { MentionScope } from '#gen/serp/discuss/v1/message_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, type As, app, CONCURRENT } from '../../test/kit/app.ts';
import { createRandom } from '../../test/kit/random.ts';
import { assertNothingToRepair } from '../../test/kit/reconcile.ts';
import { until } from '../../test/kit/until.ts';
import type { RedisClient } from '../redis/client.ts';

const tenantId = 1n;
const service: As = { userId: 0n, tenantId, roles: ['discuss.service'] };
const owner: As = { userId: 100n, tenantId };
const people: readonly As[] = [1n, 2n, 3n, 4n, 5n].map((userId) => ({ userId, tenantId }));
const ROUNDS = 24;
const AT_ONCE = 12;

type PresenceView = { readonly unread: number; readonly mentions: number; readonly marker: bigint };

describe('unread counts', () => {
  let the: App;
  const channelIds: bigint[] = [];
  /** Members who marked something unread in the round: their markers may go back. */
  const back = new Set<string>();
  const random = createRandom(20_261_122);
  let redis: RedisClient;
  /** What an instance has counted and not yet kept. */
  const late: (() => void)[] = [];

  before(async () => {
    the = await app({ ...CONCURRENT, UNREAD_UPDATE_INTERVAL_MS: '200' });
    await the.start();
    redis = the.redis.client;
    const cache = the.instances[0]?.deps.unreadCache ?? assert.fail();
    const keep = cache.keep.bind(cache);
    cache.keep = (...counted) => void late.push(() => keep(...counted));
    for (const name of ['một', 'hai', 'ba']) {
      const memberUserIds = people.map(({ userId }) => userId);
      const { channel } = await the.client(ChannelService, owner).createChannel({ name, memberUserIds });
      channelIds.push(channel?.id ?? 0n);
    }
  });
  after(() => the.close());

  it('equal a recount after random concurrent sends, deletions, markers, departures and returns', async () => {
    console.log(`# seed ${random.seed}`);
    const done = new Map<string, number>();
    let before = new Map<string, PresenceView>();
    for (let round = 0; round < ROUNDS; round += 1) {
      const calls = Array.from({ length: AT_ONCE }, () => act(the, random, channelIds, back));
      for (const name of await Promise.all(calls)) done.set(name, (done.get(name) ?? 0) + 1);
      await spoilCache(round);
      const expected = await countByHand(the);
      for (const [way, found] of await waysToAsk(the))
        assert.deepEqual(found, expected, `${way}, round ${round}`);
      for (const [key, { marker }] of expected)
        assert.ok(
          back.has(key) || marker >= (before.get(key)?.marker ?? 0n),
          `the marker of ${key} went back in round ${round}`,
        );
      before = expected;
      back.clear();
    }
    const [row] = await the.owner<{ notices: number }[]>`
      select count(*)::int as notices from messages where notice is not null
    `;
    assert.ok((row?.notices ?? 0) > 20, 'notices are among them');
    for (const name of [
      'send',
      'edit',
      'delete',
      'markRead',
      'markUnread',
      'leave',
      'remove',
      'describe',
      'add',
    ])
      assert.ok((done.get(name) ?? 0) > 3, `${name} was done ${done.get(name) ?? 0} times: too few to tell`);
    for (const result of ['hit', 'miss'] as const) {
      const { values } = (await the.instances[1]?.deps.metrics.cacheReads.get()) ?? { values: [] };
      const found = values.find(({ labels }) => labels.cache === 'unread' && labels.result === result);
      assert.ok((found?.value ?? 0) > 30, `${result} of the cache: ${found?.value}`);
    }
    await until(async () => (await unsettled(the)) === 0, 'settling the stored numbers');
    await assertNothingToRepair(the);
  });

  /** Cold, warm, half of it gone, or with old counts put back. */
  async function spoilCache(round: number): Promise<void> {
    for (const { userId } of people) {
      const keys = [`unread:${userId}`, `{unread:${userId}}:states`];
      const chance = random.below(8);
      if (chance < 3) await redis.del(...(chance === 0 ? keys : [keys[chance - 1] ?? '']));
      if (chance === 3) await redis.hset(`unread:${userId}`, `${random.pick(channelIds)}`, 999);
    }
    if (round % 3 === 0) for (const keep of late.splice(0)) keep();
    await redis.ping();
  }
});

type Random = ReturnType<typeof createRandom>;

/** Does something at random and returns what, or that it was refused. */
async function act(
  the: App,
  random: Random,
  channelIds: readonly bigint[],
  back: Set<string>,
): Promise<string> {
  const [as, channelId, instance] = [random.pick(people), random.pick(channelIds), random.below(2)];
  const chance = random.below(100);
  const from = random.below(1_000);
  const members = (as: As) => the.client(MemberService, as, 'grpc', instance);
  try {
    if (chance < 45) {
      await the.client(MessageService, as, 'grpc', instance).sendMessage({
        channelId,
        content: `tin ${chance}`,
        mentionUserIds: from % 2 === 0 ? [random.pick(people).userId] : [],
        mentionScope: from % 7 === 0 ? MentionScope.CHANNEL : MentionScope.UNSPECIFIED,
      });
      return 'send';
    }
    if (chance < 50) {
      await editMentions(the, channelId, random.pick(people).userId);
      return 'edit';
    }
    if (chance < 56) {
      const messageId = await pickMessage(the, channelId, from * 5 + 1);
      back.add(`${channelId}/${as.userId}`);
      if (messageId > 0n) await members(as).markUnread({ channelId, messageId });
      return 'markUnread';
    }
    if (chance < 70) {
      const messageId = await pickMessage(the, channelId, from);
      const { lastReadMessageId } = await members(as).markRead({
        channelId,
        messageId,
        all: messageId === 0n,
      });
      if (!back.has(`${channelId}/${as.userId}`))
        assert.ok(lastReadMessageId >= messageId, 'the marker is where it was asked to be, or farther');
      return 'markRead';
    }
    if (chance < 78) {
      await the.owner`
        update messages set is_deleted = true where id = ${await pickMessage(the, channelId, from)} and not is_deleted
      `;
      return 'delete';
    }
    if (chance < 83) {
      await members(as).leaveChannel({ channelId });
      return 'leave';
    }
    if (chance < 88) {
      await members(service).removeMember({ channelId, userId: as.userId });
      return 'remove';
    }
    if (chance < 90) {
      const description = `số ${from}`;
      const updateMask = { paths: ['description'] };
      await the.client(ChannelService, owner).updateChannel({ channelId, description, updateMask });
      return 'describe';
    }
    await members(owner).addMembers({ channelId, userIds: [as.userId, random.pick(people).userId] });
    return 'add';
  } catch (error) {
    // Not a member at the moment, or the message is deleted.
    const { code } = ConnectError.from(error);
    if (code === Code.NotFound || code === Code.PermissionDenied || code === Code.FailedPrecondition)
      return 'refused';
    throw error;
  }
}

/** Mentions somebody else in one of the channel's last messages. */
async function editMentions(the: App, channelId: bigint, userId: bigint): Promise<void> {
  const [row] = await the.owner<{ id: bigint; senderId: bigint }[]>`
    select id, sender_id
    from messages
    where channel_id = ${channelId} and not is_deleted and notice is null
    order by id desc
    limit 1
  `;
  if (row === undefined) return;
  const as = { userId: row.senderId, tenantId };
  const updateMask = { paths: ['mention_user_ids'] };
  const request = { channelId, messageId: row.id, mentionUserIds: [userId], updateMask };
  await the.client(MessageService, as).editMessage(request);
}

/** A message of the channel; 0n, the newest, now and then. */
async function pickMessage(the: App, channelId: bigint, from: number): Promise<bigint> {
  if (from % 5 === 0) return 0n;
  const [row] = await the.owner<{ id: bigint }[]>`
    select id
    from messages
    where channel_id = ${channelId}
    order by id
    offset (select ${from} % greatest(1, count(*)) from messages where channel_id = ${channelId})
    limit 1
  `;
  return row?.id ?? 0n;
}

async function countByHand(the: App): Promise<Map<string, PresenceView>> {
  const rows = await the.owner<({ key: string } & PresenceView)[]>`
    select
      m.channel_id || '/' || m.user_id as key,
      (
        select count(*)
        from messages x
        where x.channel_id = m.channel_id
          and x.id > coalesce(m.last_read_msg_id, 0)
          and x.sender_id != m.user_id
          and not x.is_deleted
          and x.notice is null
      )::int as unread,
      (
        select count(*)
        from messages x
        where x.channel_id = m.channel_id
          and x.id > coalesce(m.last_read_msg_id, 0)
          and x.sender_id != m.user_id
          and not x.is_deleted
          and x.notice is null
          and (m.user_id = any(x.mentions) or x.mention_scope = 'CHANNEL')
      )::int as mentions,
      coalesce(m.last_read_msg_id, 0) as marker
    from channel_members m
    where m.status = 'ACTIVE' and m.user_id != ${owner.userId}
    order by 1
  `;
  return new Map(rows.map(({ key, unread, mentions, marker }) => [key, { unread, mentions, marker }]));
}

/** The same numbers from every RPC that shows them, and from the view. */
async function waysToAsk(the: App): Promise<[string, Map<string, PresenceView>][]> {
  const found: Record<string, [string, PresenceView][]> = {
    GetChannel: [],
    ListChannels: [],
    GetUnreadSummary: [],
    'GetUnreadSummary again': [],
    'GetUnreadSummary of the other instance': [],
    view: [],
  };
  for (const as of people) {
    const { entries } = await the.client(ChannelService, as).listChannels({});
    const summaries = [];
    for (const [name, instance] of [
      ['GetUnreadSummary', 1],
      ['GetUnreadSummary again', 1],
      ['GetUnreadSummary of the other instance', 0],
    ] as const) {
      const summary = await the.client(MemberService, as, 'web', instance).getUnreadSummary({});
      summaries.push({ name, unread: new Map(summary.entries.map((entry) => [entry.channelId, entry])) });
    }
    for (const { channel, membership, unreadMentionCount: mentions } of entries) {
      const channelId = channel?.id ?? 0n;
      const key = `${channelId}/${as.userId}`;
      const marker = membership?.lastReadMessageId ?? 0n;
      const read = await the.client(ChannelService, as, 'grpc', 1).getChannel({ channelId });
      found['ListChannels']?.push([key, { unread: membership?.unreadCount ?? -1, mentions, marker }]);
      found['GetChannel']?.push([key, { unread: read.membership?.unreadCount ?? -1, mentions, marker }]);
      for (const { name, unread } of summaries) {
        const entry = unread.get(channelId);
        const summed = { unread: entry?.unreadCount ?? 0, mentions: entry?.unreadMentionCount ?? 0, marker };
        found[name]?.push([key, summed]);
      }
      const [row] = await the.owner<{ unreadCount: number }[]>`
        select unread_count from user_channels where channel_id = ${channelId} and user_id = ${as.userId}
      `;
      found['view']?.push([key, { unread: row?.unreadCount ?? -1, mentions, marker }]);
    }
  }
  return Object.entries(found).map(([way, entries]) => [
    way,
    new Map(entries.toSorted(([a], [b]) => (a < b ? -1 : 1))),
  ]);
}

async function unsettled(the: App): Promise<number> {
  const [row] = await the.owner<{ n: number }[]>`
    select count(*)::int as n
    from channel_members m
    join channels c on c.id = m.channel_id
    where m.status = 'ACTIVE'
      and m.unread_count
        != derived_unread(c.id, m.user_id, c.post_seq, m.read_post_seq, m.own_posts, m.own_posts_read)
  `;
  return row?.n ?? -1;
}
