import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { Code } from '@connectrpc/connect';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { PresenceService } from '#gen/serp/discuss/v1/presence_service_pb.ts';
import { type App, type As, app as startApp } from '../../test/kit/app.ts';
import { rejects } from '../../test/kit/rejects.ts';
import { Subscriber } from '../../test/kit/stream.ts';
import { until } from '../../test/kit/until.ts';
import type { RedisClient } from '../redis/client.ts';

const TTL_MS = 2_000;
const INTERVAL_MS = 300;

const user = (id: number, tenantId = 1n): As => ({ userId: BigInt(id), tenantId });
const [ana, binh, chi, stranger] = [user(1), user(2), user(3), user(4)];

describe('typing', () => {
  let app: App;
  let redis: RedisClient;
  const open: Subscriber[] = [];

  before(async () => {
    app = await startApp({
      TYPING_TTL_MS: `${TTL_MS}`,
      TYPING_INTERVAL_MS: `${INTERVAL_MS}`,
      TYPING_MAX_MEMBERS: '3',
      PRESENCE_RECOVERY_MS: '100',
    });
    await app.start();
    redis = app.redis.client;
  });
  afterEach(async () => {
    await Promise.all(open.splice(0).map((subscriber) => subscriber.disconnect()));
  });
  after(async () => {
    await app.close();
  });

  const client = (as: As, instance = 0) => app.client(PresenceService, as, 'grpc', instance);
  const group = async (...members: As[]) => {
    const { channel } = await app.client(ChannelService, ana).createChannel({
      name: 'Gõ',
      private: true,
      memberUserIds: members.map(({ userId }) => userId),
    });
    return channel?.id ?? 0n;
  };
  const subscribe = async (as: As, channelId: bigint, instance = 0) => {
    const subscriber = new Subscriber(app.client(EventService, as, 'grpc', instance), [channelId]);
    open.push(subscriber);
    return subscriber.connect();
  };
  /** Updates of a user that a stream received: true for typing, false for stopped. */
  const updates = (subscriber: Subscriber, { userId }: As) =>
    subscriber.others.flatMap((payload) =>
      payload.case === 'typing' && payload.value.userId === userId
        ? [payload.value.expireTime !== undefined]
        : [],
    );
  const toMs = (time: { seconds: bigint; nanos: number } | undefined) =>
    Number(time?.seconds ?? 0n) * 1_000 + (time?.nanos ?? 0) / 1e6;
  const pause = async (ms: number) => {
    const end = Date.now() + ms;
    await until(() => Date.now() > end);
  };

  it('typing is shown to the other members with its expiry, and in the set of the document', async () => {
    const channelId = await group(binh, chi);
    const streams = await Promise.all([subscribe(binh, channelId), subscribe(chi, channelId, 1)]);
    const own = await Promise.all([subscribe(ana, channelId), subscribe(ana, channelId, 1)]);
    const { expireTime } = await client(ana).startTyping({ channelId });
    assert.ok(Math.abs(toMs(expireTime) - Date.now() - TTL_MS) < 500);
    for (const stream of streams) {
      await until(() => stream.count('typing') === 1);
      assert.deepEqual(stream.last('typing')?.value.expireTime, expireTime);
      assert.equal(stream.last('typing')?.value.channelId, channelId);
    }
    assert.deepEqual(await redis.smembers(`typing:${channelId}`), ['1']);
    const left = await redis.pttl(`typing:${channelId}`);
    assert.ok(left > 0 && left <= TTL_MS, `${left}`);
    await client(ana, 1).stopTyping({ channelId });
    for (const stream of streams) {
      await until(() => stream.count('typing') === 2);
      assert.deepEqual(updates(stream, ana), [true, false]);
    }
    assert.deepEqual(await redis.smembers(`typing:${channelId}`), []);
    for (const stream of own) assert.equal(stream.count('typing'), 0);
  });

  it('typing lasts 10 s and is broadcast at most every 3 s by default', () => {
    const { typing } = app.config({ TYPING_TTL_MS: '', TYPING_INTERVAL_MS: '' });
    assert.deepEqual([typing.ttlMs, typing.intervalMs], [10_000, 3_000]);
  });

  it('typing of one member expires while others continue', async () => {
    const channelId = await group(binh, chi);
    await client(ana).startTyping({ channelId });
    await client(binh).startTyping({ channelId });
    const end = Date.now() + TTL_MS + 300;
    await until(async () => {
      await client(binh).startTyping({ channelId });
      return Date.now() > end;
    });
    assert.deepEqual(await redis.smembers(`typing:${channelId}`), ['2']);
    await until(async () => (await redis.exists(`typing:${channelId}`)) === 0);
    await until(async () => (await redis.exists(`{typing:${channelId}}:until`)) === 0);
  });

  it('typing of one user is broadcast once per interval, however often it starts and stops at any instance', async () => {
    const channelId = await group(binh);
    const stream = await subscribe(binh, channelId, 1);
    const began = Date.now();
    const end = began + 4 * INTERVAL_MS;
    await until(async () => {
      await Promise.all([0, 1].map((instance) => client(ana, instance).startTyping({ channelId })));
      return Date.now() > end;
    });
    const most = Math.ceil((Date.now() - began) / INTERVAL_MS) + 1;
    await pause(50);
    assert.ok(
      updates(stream, ana).length >= 3 && updates(stream, ana).length <= most,
      `${updates(stream, ana)}`,
    );
    const flood = Date.now();
    const before = updates(stream, ana).length;
    for (let turn = 0; turn < 40; turn += 1) {
      await client(ana, turn % 2).stopTyping({ channelId });
      await client(ana, turn % 2).startTyping({ channelId });
    }
    const intervals = Math.ceil((Date.now() - flood) / INTERVAL_MS) + 1;
    await pause(50);
    assert.ok(updates(stream, ana).length - before <= 2 * intervals, `${updates(stream, ana).slice(before)}`);
  });

  it('typing ends with a message sent at any instance, without another update', async () => {
    const channelId = await group(binh);
    const stream = await subscribe(binh, channelId, 1);
    const began = Date.now();
    await client(ana).startTyping({ channelId });
    await until(() => stream.count('typing') === 1);
    await app.client(MessageService, ana, 'grpc', 1).sendMessage({ channelId, content: 'xong' });
    await until(() => stream.events.length === 1);
    await until(async () => (await redis.scard(`typing:${channelId}`)) === 0);
    assert.ok(Date.now() - began < TTL_MS, 'it ended by expiry');
    await client(ana).stopTyping({ channelId });
    await pause(50);
    assert.deepEqual(updates(stream, ana), [true]);
    await pause(INTERVAL_MS);
    await client(ana).startTyping({ channelId });
    await until(() => stream.count('typing') === 2);
  });

  it('typing in a channel above the cap is not broadcast', async () => {
    const channelId = await group(binh, chi, user(5));
    const stream = await subscribe(binh, channelId);
    assert.equal((await client(ana).startTyping({ channelId })).expireTime, undefined);
    await client(ana).stopTyping({ channelId });
    assert.equal(await redis.exists(`typing:${channelId}`), 0);
    await app.client(MessageService, ana).sendMessage({ channelId, content: 'a' });
    await until(() => stream.events.length === 1);
    assert.equal(stream.count('typing'), 0);
  });

  it('typing is permitted to members who may post, and sent to members only', async () => {
    const channelId = await group(binh, chi);
    const stream = await subscribe(chi, channelId);
    await app.client(MemberService, chi).leaveChannel({ channelId });
    await until(() => stream.count('channelClosed') === 1);
    await client(ana).startTyping({ channelId });
    const others = await subscribe(binh, channelId);
    await pause(INTERVAL_MS);
    await client(ana).startTyping({ channelId });
    await until(() => others.count('typing') === 1);
    assert.equal(stream.count('typing'), 0);
    for (const as of [stranger, chi, user(1, 2n)]) {
      await rejects(client(as).startTyping({ channelId }), Code.NotFound, 'CHANNEL_NOT_FOUND');
      await rejects(client(as).stopTyping({ channelId }), Code.NotFound, 'CHANNEL_NOT_FOUND');
    }
    await app.owner`update channel_members set status = 'MUTED' where channel_id = ${channelId} and user_id = 2`;
    await rejects(client(binh).startTyping({ channelId }), Code.PermissionDenied, 'ROLE_TOO_LOW');
    await app.client(ChannelService, ana).archiveChannel({ channelId });
    await rejects(client(ana).startTyping({ channelId }), Code.FailedPrecondition, 'CHANNEL_ARCHIVED');
  });

  it('typing is not shown while Redis is unavailable, does not affect sending, and recovers', async () => {
    const channelId = await group(binh);
    const stream = await subscribe(binh, channelId, 1);
    await client(ana).startTyping({ channelId });
    await until(() => stream.count('typing') === 1);
    await app.redis.stop();
    assert.equal((await client(ana).startTyping({ channelId })).expireTime, undefined);
    await client(ana).stopTyping({ channelId });
    await app.client(MessageService, ana).sendMessage({ channelId, content: 'vẫn gửi' });
    await app.redis.start();
    await until(async () => {
      await client(ana).startTyping({ channelId });
      return stream.count('typing') === 2;
    });
  });
});
