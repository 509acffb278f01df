import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Code } from '@connectrpc/connect';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { PresenceStatus, type UserPresence } from '#gen/serp/discuss/v1/presence_pb.ts';
import { PresenceService } from '#gen/serp/discuss/v1/presence_service_pb.ts';
import { type App, type As, app } from '../../test/kit/app.ts';
import { rejects } from '../../test/kit/rejects.ts';
import { until } from '../../test/kit/until.ts';
import { toTimestamp } from '../db/time.ts';
import type { RedisClient } from '../redis/client.ts';

const { AWAY, BUSY, OFFLINE, ONLINE, UNKNOWN } = PresenceStatus;

const user = (id: number, tenantId = 1n): As => ({ userId: BigInt(id), tenantId });

describe('PresenceService', () => {
  let the: App;
  let redis: RedisClient;

  before(async () => {
    the = await app({
      PRESENCE_TTL_MS: '4000',
      PRESENCE_DEVICE_TTL_MS: '1200',
      PRESENCE_DEBOUNCE_MS: '20',
      PRESENCE_POLL_MS: '100',
    });
    await the.start();
    redis = the.redis.client;
  });
  after(async () => {
    await the.close();
  });

  const client = (as: As, instance = 0) => the.client(PresenceService, as, 'grpc', instance);
  const beat = (as: As, id: string, status: PresenceStatus = PresenceStatus.UNSPECIFIED, instance = 0) =>
    client(as, instance).heartbeat({ device: { id, kind: 'web' }, status });
  const see = async (as: As, id: number, instance = 0): Promise<UserPresence> => {
    const { users } = await client(as, instance).getPresence({ userIds: [BigInt(id)] });
    assert.ok(users[0]);
    return users[0];
  };
  const shows = (id: number, status: PresenceStatus, as = user(99)) =>
    until(async () => (await see(as, id, 1)).status === status, `user ${id} shown as ${status}`);

  describe('Heartbeat', () => {
    it("keeps the customer's hash, for five minutes by default", async () => {
      await beat(user(100), 'a');
      const hash = await redis.hgetall('presence:100');
      assert.equal(hash['status'], 'ONLINE');
      assert.equal(hash['device'], 'web');
      assert.ok(Math.abs(Number(hash['last_seen']) - Date.now()) < 5_000);
      const left = await redis.pttl('presence:100');
      assert.ok(left > 3_000 && left <= 4_000, `${left}`);
      assert.equal(the.config({ PRESENCE_TTL_MS: '' }).presence.ttlMs, 300_000);
    });

    it('counts the highest status of several devices, of whatever instance', async () => {
      await beat(user(101), 'phone', AWAY, 0);
      assert.equal((await see(user(99), 101)).status, AWAY);
      assert.equal((await beat(user(101), 'desk', ONLINE, 1)).status, ONLINE);
      assert.equal((await beat(user(101), 'desk', BUSY)).status, BUSY);
      assert.equal((await beat(user(101), 'tab')).status, ONLINE);
      assert.equal((await beat(user(101), 'tab', OFFLINE)).status, BUSY);
      assert.equal((await beat(user(101), 'desk', OFFLINE)).status, AWAY);
      const gone = await beat(user(101), 'phone', OFFLINE);
      assert.equal(gone.status, OFFLINE);
      assert.equal(gone.expireTime, undefined);
    });

    it('ends a device that falls silent, and says when it was last heard of until the TTL', async () => {
      const began = Date.now();
      await beat(user(102), 'a');
      await beat(user(102), 'b');
      const keeping = setInterval(() => void beat(user(102), 'b', AWAY).catch(() => {}), 200);
      await shows(102, AWAY);
      clearInterval(keeping);
      await shows(102, OFFLINE);
      const { lastSeenTime } = await see(user(99), 102);
      assert.ok(Number(lastSeenTime?.seconds) * 1_000 >= began - 1_000);
      await until(async () => (await see(user(99), 102)).lastSeenTime === undefined);
    });

    it('keeps no more devices than it may, the silent ones go first', async () => {
      for (let device = 0; device < 30; device += 1) await beat(user(103), `d${device}`);
      const fields = await redis.hkeys('presence:103');
      const devices = fields.filter((name) => name.startsWith('d:'));
      assert.equal(devices.length, 20);
      assert.ok(devices.includes('d:1:d29:') && !devices.includes('d:1:d0:'));
    });

    it('refuses a device without an id', async () => {
      await rejects(client(user(1)).heartbeat({}), Code.InvalidArgument, 'FIELD_INVALID');
      await rejects(beat(user(1), ''), Code.InvalidArgument, 'FIELD_INVALID');
      await rejects(beat(user(1), 'a:b'), Code.InvalidArgument, 'FIELD_INVALID');
      await rejects(beat(user(1), 'a', UNKNOWN), Code.InvalidArgument, 'FIELD_INVALID');
    });
  });

  describe('SetStatus', () => {
    it('shows what was chosen while the user is there, and the text always', async () => {
      const { presence } = await client(user(110)).setStatus({ status: BUSY, text: 'Họp' });
      assert.equal(presence?.status, OFFLINE);
      assert.deepEqual([presence.statusOverride?.status, presence.statusOverride?.text], [BUSY, 'Họp']);
      assert.equal((await beat(user(110), 'a')).status, BUSY);
      const seen = await see(user(99), 110, 1);
      assert.deepEqual([seen.status, seen.text, seen.statusOverride], [BUSY, 'Họp', undefined]);
      assert.equal((await see(user(110), 110)).statusOverride?.status, BUSY);
      await client(user(110), 1).setStatus({ status: AWAY });
      assert.deepEqual([(await see(user(99), 110)).status, (await see(user(99), 110)).text], [AWAY, '']);
      await client(user(110)).setStatus({ status: ONLINE });
      assert.equal((await see(user(99), 110)).status, ONLINE);
    });

    it('outlives absence and a Redis that forgot everything', async () => {
      await client(user(111)).setStatus({ status: BUSY, text: 'Nghỉ phép' });
      await the.redis.forget();
      assert.equal((await beat(user(111), 'a')).status, BUSY);
      assert.equal((await see(user(99), 111)).text, 'Nghỉ phép');
    });

    it('ends by itself', async () => {
      await beat(user(112), 'a');
      const expireTime = toTimestamp(BigInt(Date.now() + 400));
      await client(user(112)).setStatus({ status: BUSY, text: 'Gọi điện', expireTime });
      assert.equal((await see(user(99), 112)).status, BUSY);
      const keeping = setInterval(() => void beat(user(112), 'a').catch(() => {}), 200);
      await shows(112, ONLINE);
      clearInterval(keeping);
      const { text } = await see(user(99), 112);
      assert.equal(text, '');
      assert.deepEqual((await see(user(112), 112)).statusOverride?.status, ONLINE);
    });

    it('hides who does not want to be seen, without a trace', async () => {
      await beat(user(113), 'a');
      await client(user(113)).setStatus({ status: OFFLINE });
      const left = Date.now();
      const keeping = setInterval(() => void beat(user(113), 'a').catch(() => {}), 200);
      const seen = await see(user(99), 113);
      assert.equal(seen.status, OFFLINE);
      const { status, device } = await redis.hgetall('presence:113');
      assert.deepEqual([status, device], ['OFFLINE', 'web']);
      await until(() => Date.now() > left + 1_000);
      assert.deepEqual((await see(user(99), 113)).lastSeenTime, seen.lastSeenTime);
      await until(async () => (await see(user(99), 113)).lastSeenTime === undefined);
      const [hidden, absent] = await Promise.all([see(user(99), 113), see(user(99), 7_777)]);
      assert.deepEqual({ ...hidden, userId: 0n, version: 0n }, { ...absent, userId: 0n, version: 0n });
      assert.ok(Math.abs(Number(hidden.version - absent.version)) < 5_000_000, 'their versions differ');
      clearInterval(keeping);
      assert.equal((await client(user(113)).setStatus({ status: ONLINE })).presence?.status, ONLINE);
    });

    it('hides them from the first moment after a long absence', async () => {
      await client(user(114)).setStatus({ status: OFFLINE });
      await redis.del('presence:114');
      const [beaten, ...seen] = await Promise.all([
        beat(user(114), 'a'),
        ...Array.from({ length: 20 }, () => see(user(99), 114, 1)),
      ]);
      assert.equal(beaten.status, OFFLINE);
      for (const { status } of seen) assert.equal(status, OFFLINE);
    });

    it('takes the later of two choices, whatever order the copies come in', async () => {
      await beat(user(115), 'a');
      await client(user(115)).setStatus({ status: AWAY });
      const late = { status: 'BUSY', statusText: '', expiresAt: null, updatedAt: 1n } as const;
      await the.instances[1]?.deps.presence.choose(user(115), late);
      assert.equal((await see(user(99), 115)).status, AWAY);
      await Promise.all(
        Array.from({ length: 60 }, (_, index) =>
          client(user(115), index % 2).setStatus({ status: [BUSY, AWAY, ONLINE][index % 3] ?? ONLINE }),
        ),
      );
      await beat(user(115), 'a');
      const { statusOverride, status } = await see(user(115), 115);
      assert.equal(status, statusOverride?.status);
    });

    it('refuses no status, a long text and an end in the past', async () => {
      const { setStatus } = client(user(1));
      await rejects(setStatus({}), Code.InvalidArgument, 'FIELD_INVALID');
      await rejects(setStatus({ status: UNKNOWN }), Code.InvalidArgument, 'FIELD_INVALID');
      await rejects(
        setStatus({ status: BUSY, text: 'x'.repeat(101) }),
        Code.InvalidArgument,
        'FIELD_INVALID',
      );
      const expireTime = toTimestamp(1_000n);
      await rejects(setStatus({ status: BUSY, expireTime }), Code.InvalidArgument, 'FIELD_INVALID');
    });
  });

  describe('GetPresence', () => {
    it('answers in the order asked, of the own tenant alone', async () => {
      await beat(user(120), 'a');
      await beat(user(121, 2n), 'a', AWAY);
      await client(user(121, 2n)).setStatus({ status: BUSY, text: 'Bí mật' });
      const ask = async (as: As) =>
        (await client(as).getPresence({ userIds: [121n, 120n, 122n] })).users.map((seen) => [
          seen.userId,
          seen.status,
          seen.text,
        ]);
      assert.deepEqual(await ask(user(99)), [
        [121n, OFFLINE, ''],
        [120n, ONLINE, ''],
        [122n, OFFLINE, ''],
      ]);
      assert.deepEqual(await ask(user(99, 2n)), [
        [121n, BUSY, 'Bí mật'],
        [120n, OFFLINE, ''],
        [122n, OFFLINE, ''],
      ]);
    });

    it('tells users of two tenants with one id apart, and the hash of both', async () => {
      await beat(user(123), 'a', AWAY);
      await beat(user(123, 2n), 'a', ONLINE);
      assert.equal((await see(user(99), 123)).status, AWAY);
      assert.equal((await see(user(99, 2n), 123)).status, ONLINE);
      assert.equal(await redis.hget('presence:123', 'status'), 'ONLINE');
      await beat(user(123, 2n), 'a', OFFLINE);
      assert.equal(await redis.hget('presence:123', 'status'), 'AWAY');
    });

    it('takes 200 users and no more', async () => {
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
    it('pages through the members who are there', async () => {
      const members = Array.from({ length: 30 }, (_, index) => 200 + index);
      const { channel } = await the
        .client(ChannelService, user(200))
        .createChannel({ name: 'Kho', memberUserIds: members.slice(1).map(BigInt) });
      const channelId = channel?.id ?? 0n;
      const there = members.filter((id) => id % 3 === 0);
      await beat(user(299), 'a');
      await Promise.all(there.map((id) => beat(user(id), 'a', id % 2 === 0 ? AWAY : ONLINE)));
      const hidden = there.splice(2, 1)[0] ?? 0;
      await client(user(hidden)).setStatus({ status: OFFLINE });
      const keeping = setInterval(() => there.map((id) => beat(user(id), 'a').catch(() => {})), 300);
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
      await until(async () => (await list()).length === there.length);
      assert.deepEqual(await list(), there.map(BigInt));
      await the.client(MemberService, user(there[0] ?? 0)).leaveChannel({ channelId });
      assert.deepEqual(await list(), there.slice(1).map(BigInt));
      await rejects(client(user(299)).listOnline({ channelId }), Code.NotFound, 'CHANNEL_NOT_FOUND');
      clearInterval(keeping);
    });
  });

  describe('GetOnlineStats', () => {
    it('counts the users of the tenant, and of all tenants for operators', async () => {
      const tenantId = 40n;
      const count = async () => (await client(user(1, tenantId)).getOnlineStats({})).onlineUserCount;
      assert.equal(await count(), 0);
      const users = Array.from({ length: 12 }, (_, index) => user(index + 1, tenantId));
      const keeping = setInterval(() => users.map((as) => beat(as, 'a').catch(() => {})), 300);
      await until(async () => (await count()) === 12);
      await beat(users[3] ?? user(0), 'b');
      await client(users[5] ?? user(0)).setStatus({ status: OFFLINE });
      await until(async () => (await count()) === 11);
      await until(async () => Number(await redis.get('stats:online_users')) >= 11);
      const left = await redis.ttl('stats:online_users');
      assert.ok(left > 50 && left <= 60, `${left}`);
      clearInterval(keeping);
      await until(async () => (await count()) === 0);
      await until(async () => Number(await redis.get('stats:online_users')) === 0);
    });
  });
});
