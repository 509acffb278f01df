import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Code } from '@connectrpc/connect';
import { PresenceStatus } from '#gen/serp/discuss/v1/presence_pb.ts';
import type { App, As } from '../../test/kit/app.ts';
import { openPresenceApp, presenceFixture, SHORT_LIVED } from '../../test/kit/presence-fixture.ts';
import { rejects } from '../../test/kit/rejects.ts';
import { until } from '../../test/kit/until.ts';
import { toTimestamp } from '../db/time.ts';
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

  describe('SetStatus', () => {
    it('the status override is shown while the user is online, and the text always', async () => {
      const { presence } = await client(user(110)).setStatus({ status: BUSY, text: 'Họp' });
      assert.equal(presence?.status, OFFLINE);
      assert.deepEqual([presence.statusOverride?.status, presence.statusOverride?.text], [BUSY, 'Họp']);
      assert.equal((await heartbeat(user(110), 'a')).status, BUSY);
      const seen = await read(user(99), 110, 1);
      assert.deepEqual([seen.status, seen.text, seen.statusOverride], [BUSY, 'Họp', undefined]);
      assert.equal((await read(user(110), 110)).statusOverride?.status, BUSY);
      await client(user(110), 1).setStatus({ status: AWAY });
      assert.deepEqual([(await read(user(99), 110)).status, (await read(user(99), 110)).text], [AWAY, '']);
      await client(user(110)).setStatus({ status: ONLINE });
      assert.equal((await read(user(99), 110)).status, ONLINE);
    });

    it('the override persists while the user is offline and when Redis loses its data', async () => {
      await client(user(111)).setStatus({ status: BUSY, text: 'Nghỉ phép' });
      await app.redis.forget();
      assert.equal((await heartbeat(user(111), 'a')).status, BUSY);
      assert.equal((await read(user(99), 111)).text, 'Nghỉ phép');
    });

    it('the override expires', async () => {
      await heartbeat(user(112), 'a');
      const expireTime = toTimestamp(BigInt(Date.now() + 400));
      await client(user(112)).setStatus({ status: BUSY, text: 'Gọi điện', expireTime });
      assert.equal((await read(user(99), 112)).status, BUSY);
      await untilStatus(112, ONLINE);
      const { text } = await read(user(99), 112);
      assert.equal(text, '');
      assert.deepEqual((await read(user(112), 112)).statusOverride?.status, ONLINE);
    });

    it('a user who appears offline looks like an absent user', async () => {
      const repeat = () => heartbeat(user(113), 'a', ONLINE, SHORT_LIVED);
      await repeat();
      await client(user(113), SHORT_LIVED).setStatus({ status: OFFLINE });
      const left = Date.now();
      const repeating = setInterval(() => void repeat().catch(() => {}), 200);
      const seen = await read(user(99), 113, SHORT_LIVED);
      assert.equal(seen.status, OFFLINE);
      const { status, device } = await redis.hgetall('presence:113');
      assert.deepEqual([status, device], ['OFFLINE', 'web']);
      await until(() => Date.now() > left + 1_000);
      assert.deepEqual((await read(user(99), 113, SHORT_LIVED)).lastSeenTime, seen.lastSeenTime);
      await until(async () => (await read(user(99), 113, SHORT_LIVED)).lastSeenTime === undefined);
      const [hidden, absent] = await Promise.all([
        read(user(99), 113, SHORT_LIVED),
        read(user(99), 7_777, SHORT_LIVED),
      ]);
      assert.deepEqual({ ...hidden, userId: 0n, version: 0n }, { ...absent, userId: 0n, version: 0n });
      assert.ok(Math.abs(Number(hidden.version - absent.version)) < 5_000_000, 'their versions differ');
      clearInterval(repeating);
      assert.equal(
        (await client(user(113), SHORT_LIVED).setStatus({ status: ONLINE })).presence?.status,
        ONLINE,
      );
    });

    it('a user who appears offline is hidden from the first heartbeat after a long absence', async () => {
      await client(user(114)).setStatus({ status: OFFLINE });
      await redis.del('presence:114');
      const [own, ...views] = await Promise.all([
        heartbeat(user(114), 'a'),
        ...Array.from({ length: 20 }, () => read(user(99), 114, 1)),
      ]);
      assert.equal(own.status, OFFLINE);
      for (const { status } of views) assert.equal(status, OFFLINE);
    });

    it('the latest override wins, in whatever order the copies in Redis are written', async () => {
      await heartbeat(user(115), 'a');
      await client(user(115)).setStatus({ status: AWAY });
      const late = { status: 'BUSY', statusText: '', expiresAt: null, updatedAt: 1n } as const;
      await app.instances[1]?.deps.presence.setOverride(user(115), late);
      assert.equal((await read(user(99), 115)).status, AWAY);
      await Promise.all(
        Array.from({ length: 60 }, (_, index) =>
          client(user(115), index % 2).setStatus({ status: [BUSY, AWAY, ONLINE][index % 3] ?? ONLINE }),
        ),
      );
      await heartbeat(user(115), 'a');
      const { statusOverride, status } = await read(user(115), 115);
      assert.equal(status, statusOverride?.status);
    });

    it('a missing status, a long text and an expiry in the past are rejected', async () => {
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
});
