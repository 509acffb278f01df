import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, type As, app } from '../../test/kit/app.ts';
import { until } from '../../test/kit/until.ts';
import type { RedisClient } from '../redis/client.ts';

const ana: As = { userId: 1n, tenantId: 1n };
const binh: As = { userId: 2n, tenantId: 1n };
const COUNTS = 'unread:2';
const STATES = '{unread:2}:states';

describe('the cache of unread counts', () => {
  let the: App;
  let redis: RedisClient;

  before(async () => {
    the = await app();
    redis = the.redis.client;
  });
  after(() => the.close());

  const post = async (as: As, count: number, mentioned = false): Promise<bigint> => {
    const { channel } = await the
      .client(ChannelService, as)
      .createChannel({ name: 'Kho', memberUserIds: [binh.userId] });
    const channelId = channel?.id ?? 0n;
    const mentionUserIds = mentioned ? [binh.userId] : [];
    for (let sent = 0; sent < count; sent += 1)
      await the.client(MessageService, as).sendMessage({ channelId, content: 'tin', mentionUserIds });
    return channelId;
  };
  const summary = async (as: As) => {
    const { entries, totalUnreadCount, totalUnreadMentionCount } = await the
      .client(MemberService, as)
      .getUnreadSummary({});
    const counts = entries.map(({ channelId, unreadCount }) => [`${channelId}`, `${unreadCount}`]);
    return { counts: Object.fromEntries(counts), totalUnreadCount, totalUnreadMentionCount };
  };
  // Counts are not stored while Redis is slow. The next read stores them.
  const kept = (as: As, channelId: bigint) =>
    until(async () => {
      if ((await redis.hexists(COUNTS, `${channelId}`)) === 1) return true;
      await summary(as);
      return false;
    }, 'the stored counts');

  it('has the documented form, and users of two tenants with one id see their own counts only', async () => {
    const [first, second] = [await post(ana, 2, true), await post(ana, 3)];
    const other = await post({ userId: 1n, tenantId: 2n }, 4);
    for (let round = 0; round < 2; round += 1) {
      const own = {
        counts: { [`${first}`]: '2', [`${second}`]: '3' },
        totalUnreadCount: 5n,
        totalUnreadMentionCount: 2n,
      };
      assert.deepEqual(await summary(binh), own);
      await kept(binh, second);
      const others = { counts: { [`${other}`]: '4' }, totalUnreadCount: 4n, totalUnreadMentionCount: 0n };
      assert.deepEqual(await summary({ ...binh, tenantId: 2n }), others);
      await kept({ ...binh, tenantId: 2n }, other);
    }
    assert.equal(await redis.type(COUNTS), 'hash');
    assert.equal(await redis.ttl(COUNTS), -1);
    assert.deepEqual(await redis.hgetall(COUNTS), {
      [`${first}`]: '2',
      [`${second}`]: '3',
      [`${other}`]: '4',
    });
  });

  it('ignores entries of other programs, and never makes a call fail', async () => {
    const channelId = await post(ana, 2);
    const expected = await summary(binh);
    const write: (() => Promise<unknown>)[] = [
      () => redis.hset(COUNTS, `${channelId}`, 99),
      () => redis.hset(COUNTS, 'không', 'số'),
      () => redis.hset(STATES, `${channelId}`, 'không phải'),
      () => redis.hset(STATES, `${channelId}`, "1.1.0.0.0' 2 0"),
      () => redis.hset(STATES, `${channelId}`, '1.1.0.0.0 99999999999999999999 0'),
      () => redis.hset(COUNTS, `${channelId}`, '99999999999999999999'),
      () => redis.del(COUNTS),
      () => redis.del(STATES),
      () => redis.set(COUNTS, 'không phải'),
    ];
    for (const act of write) {
      await redis.del(COUNTS, STATES);
      await until(async () => {
        await summary(binh);
        return (await redis.hexists(COUNTS, `${channelId}`)) === 1;
      });
      await act();
      assert.deepEqual(await summary(binh), expected, `${act}`);
    }
  });

  it('drops entries of channels that were read long ago', async () => {
    await redis.del(COUNTS, STATES);
    const stale = Array.from({ length: 500 }, (_, index) => [`${10_000 + index}`, '1'] as const).flat();
    await redis.hset(COUNTS, ...stale);
    await redis.hset(STATES, ...stale);
    const channelId = await post(ana, 1);
    await until(async () => {
      await summary(binh);
      return (await redis.hexists(COUNTS, `${channelId}`)) === 1;
    });
    assert.ok((await redis.hlen(COUNTS)) < 100);
  });
});
