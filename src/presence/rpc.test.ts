import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Code } from '@connectrpc/connect';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { PresenceStatus } from '#gen/serp/discuss/v1/presence_pb.ts';
import type { App, As } from '../../test/kit/app.ts';
import { openPresenceApp, presenceFixture, SHORT_LIVED } from '../../test/kit/presence-fixture.ts';
import { rejects } from '../../test/kit/rejects.ts';
import { until } from '../../test/kit/until.ts';
import type { RedisClient } from '../redis/client.ts';

const { AWAY, BUSY, OFFLINE, ONLINE, UNKNOWN } = PresenceStatus;

const user = (id: number, tenantId = 1n): As => ({ userId: BigInt(id), tenantId });

describe('PresenceService', () => {
  let app: App;
  let redis: RedisClient;

  before(async () => {
    app = await openPresenceApp();
    redis = app.redis.client;
  });
  after(async () => {
    await app.close();
  });

  const { client, heartbeat, read, untilStatus } = presenceFixture(() => app);

  describe('Heartbeat', () => {
    it("the customer's hash is stored, for five minutes by default", async () => {
      await heartbeat(user(100), 'a');
      const hash = await redis.hgetall('presence:100');
      assert.equal(hash['status'], 'ONLINE');
      assert.equal(hash['device'], 'web');
      assert.ok(Math.abs(Number(hash['last_seen']) - Date.now()) < 5_000);
      const left = await redis.pttl('presence:100');
      assert.ok(left > 50_000 && left <= 60_000, `${left}`);
      assert.equal(app.config({ PRESENCE_TTL_MS: '' }).presence.ttlMs, 300_000);
    });

    it('the highest status of several devices at any instance counts', async () => {
      await heartbeat(user(101), 'phone', AWAY, 0);
      assert.equal((await read(user(99), 101)).status, AWAY);
      assert.equal((await heartbeat(user(101), 'desk', ONLINE, 1)).status, ONLINE);
      assert.equal((await heartbeat(user(101), 'desk', BUSY)).status, BUSY);
      assert.equal((await heartbeat(user(101), 'tab')).status, ONLINE);
      assert.equal((await heartbeat(user(101), 'tab', OFFLINE)).status, BUSY);
      assert.equal((await heartbeat(user(101), 'desk', OFFLINE)).status, AWAY);
      const last = await heartbeat(user(101), 'phone', OFFLINE);
      assert.equal(last.status, OFFLINE);
      assert.equal(last.expireTime, undefined);
    });

    it('a device without heartbeats expires, and its last activity is shown until the TTL', async () => {
      const began = Date.now();
      await heartbeat(user(102), 'a', ONLINE, SHORT_LIVED);
      const repeat = () => heartbeat(user(102), 'b', AWAY, SHORT_LIVED);
      await repeat();
      const repeating = setInterval(() => void repeat().catch(() => {}), 200);
      await untilStatus(102, AWAY, SHORT_LIVED);
      clearInterval(repeating);
      await untilStatus(102, OFFLINE, SHORT_LIVED);
      const { lastSeenTime } = await read(user(99), 102, SHORT_LIVED);
      assert.ok(Number(lastSeenTime?.seconds) * 1_000 >= began - 1_000);
      await until(async () => (await read(user(99), 102, SHORT_LIVED)).lastSeenTime === undefined);
    });

    it('of more devices than permitted, those that expire first are removed', async () => {
      for (let device = 0; device < 30; device += 1) await heartbeat(user(103), `d${device}`);
      const fields = await redis.hkeys('presence:103');
      const devices = fields.filter((name) => name.startsWith('d:'));
      assert.equal(devices.length, 20);
      assert.ok(devices.includes('d:1:d29:') && !devices.includes('d:1:d0:'));
    });

    it('a device without a valid id and an invalid status are rejected', async () => {
      await rejects(client(user(1)).heartbeat({}), Code.InvalidArgument, 'FIELD_INVALID');
      await rejects(heartbeat(user(1), ''), Code.InvalidArgument, 'FIELD_INVALID');
      await rejects(heartbeat(user(1), 'a:b'), Code.InvalidArgument, 'FIELD_INVALID');
      await rejects(heartbeat(user(1), 'a', UNKNOWN), Code.InvalidArgument, 'FIELD_INVALID');
    });
  });

  describe('GetPresence', () => {
    it('users are returned in the order of the request, of the own tenant only', async () => {
      await heartbeat(user(120), 'a');
      await heartbeat(user(121, 2n), 'a', AWAY);
      await client(user(121, 2n)).setStatus({ status: BUSY, text: 'Bí mật' });
      const readAll = async (as: As) =>
        (await client(as).getPresence({ userIds: [121n, 120n, 122n] })).users.map((shown) => [
          shown.userId,
          shown.status,
          shown.text,
        ]);
      assert.deepEqual(await readAll(user(99)), [
        [121n, OFFLINE, ''],
        [120n, ONLINE, ''],
        [122n, OFFLINE, ''],
      ]);
      assert.deepEqual(await readAll(user(99, 2n)), [
        [121n, BUSY, 'Bí mật'],
        [120n, OFFLINE, ''],
        [122n, OFFLINE, ''],
      ]);
    });

    it('users of two tenants with one id are separate, and share the hash', async () => {
      await heartbeat(user(123), 'a', AWAY);
      await heartbeat(user(123, 2n), 'a', ONLINE);
      assert.equal((await read(user(99), 123)).status, AWAY);
      assert.equal((await read(user(99, 2n), 123)).status, ONLINE);
      assert.equal(await redis.hget('presence:123', 'status'), 'ONLINE');
      await heartbeat(user(123, 2n), 'a', OFFLINE);
      assert.equal(await redis.hget('presence:123', 'status'), 'AWAY');
    });

    it('at most 200 users are permitted', async () => {
      const userIds = Array.from({ length: 200 }, (_, index) => BigInt(index + 1));
      assert.equal((await client(user(1)).getPresence({ userIds })).users.length, 200);
      await rejects(
        client(user(1)).getPresence({ userIds: [...userIds, 201n] }),
        Code.InvalidArgument,
        'FIELD_INVALID',
      );
    });
  });

  describe('ListOnline', () => {
    it('online members are returned in pages', async () => {
      const members = Array.from({ length: 30 }, (_, index) => 200 + index);
      const { channel } = await app
        .client(ChannelService, user(200))
        .createChannel({ name: 'Kho', memberUserIds: members.slice(1).map(BigInt) });
      const channelId = channel?.id ?? 0n;
      const online = members.filter((id) => id % 3 === 0);
      await heartbeat(user(299), 'a');
      await Promise.all(online.map((id) => heartbeat(user(id), 'a', id % 2 === 0 ? AWAY : ONLINE)));
      const hidden = online.splice(2, 1)[0] ?? 0;
      await client(user(hidden)).setStatus({ status: OFFLINE });
      const repeating = setInterval(() => online.map((id) => heartbeat(user(id), 'a').catch(() => {})), 300);
      const list = async () => {
        const found: bigint[] = [];
        for (let pageToken = ''; ; ) {
          const page = await client(user(200), 1).listOnline({ channelId, pageSize: 4, pageToken });
          assert.ok(page.users.length <= 4 && !page.unknown);
          found.push(...page.users.map(({ userId }) => userId));
          pageToken = page.nextPageToken;
          if (pageToken === '') return found;
        }
      };
      await until(async () => (await list()).length === online.length);
      assert.deepEqual(await list(), online.map(BigInt));
      await app.client(MemberService, user(online[0] ?? 0)).leaveChannel({ channelId });
      assert.deepEqual(await list(), online.slice(1).map(BigInt));
      await rejects(client(user(299)).listOnline({ channelId }), Code.NotFound, 'CHANNEL_NOT_FOUND');
      clearInterval(repeating);
    });
  });

  describe('GetOnlineStats', () => {
    it('online users are counted by tenant, and over all tenants for operators', async () => {
      const tenantId = 40n;
      const count = async () => (await client(user(1, tenantId)).getOnlineStats({})).onlineUserCount;
      assert.equal(await count(), 0);
      const users = Array.from({ length: 12 }, (_, index) => user(index + 1, tenantId));
      const repeating = setInterval(
        () => users.map((as) => heartbeat(as, 'a', ONLINE, SHORT_LIVED).catch(() => {})),
        300,
      );
      await until(async () => (await count()) === 12);
      await heartbeat(users[3] ?? user(0), 'b', ONLINE, SHORT_LIVED);
      await client(users[5] ?? user(0)).setStatus({ status: OFFLINE });
      await until(async () => (await count()) === 11);
      await until(async () => Number(await redis.get('stats:online_users')) >= 11);
      const left = await redis.ttl('stats:online_users');
      assert.ok(left > 50 && left <= 60, `${left}`);
      clearInterval(repeating);
      await until(async () => (await count()) === 0);
      await until(async () => Number(await redis.get('stats:online_users')) === 0);
    });
  });
});
