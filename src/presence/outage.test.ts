import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { PresenceStatus } from '#gen/serp/discuss/v1/presence_pb.ts';
import { PresenceService } from '#gen/serp/discuss/v1/presence_service_pb.ts';
import type { App } from '../../test/kit/app.ts';
import { openPresenceStreams, presenceStreamFixture } from '../../test/kit/presence-stream-fixture.ts';
import { until } from '../../test/kit/until.ts';

const { AWAY, BUSY, OFFLINE, ONLINE, UNKNOWN } = PresenceStatus;

describe('presence during an outage', () => {
  let app: App;

  before(async () => {
    app = await openPresenceStreams();
  });
  afterEach(async () => {
    await Promise.all(open.splice(0).map((subscriber) => subscriber.disconnect()));
  });
  after(async () => {
    await app.close();
  });

  const { open, fresh, group, subscribe, status, receives, ends } = presenceStreamFixture(() => app);

  it('users of an instance that died go offline', async () => {
    const [ana, binh] = [fresh(), fresh()];
    await group(ana, binh);
    const third = await app.start();
    const watching = await subscribe(binh);
    await subscribe(ana, 2);
    await receives(watching, ana, ONLINE);
    // The instance cannot report to Redis that its streams close.
    third.deps.redis.disconnect();
    const died = Date.now();
    await receives(watching, ana, ONLINE, OFFLINE);
    assert.ok(Date.now() - died < 6_000, 'it took longer than the TTL');
  });

  it('presence is UNKNOWN while Redis is unavailable, and recovers without a reconnect', async () => {
    const [ana, binh, chi] = [fresh(), fresh(), fresh()];
    const channelId = await group(ana, binh, chi);
    await app.client(PresenceService, ana).setStatus({ status: BUSY });
    const watching = await subscribe(binh, 1);
    await subscribe(ana);
    await ends(watching, ana, BUSY);
    const gone = await subscribe(chi);
    await ends(watching, chi, ONLINE);
    await app.redis.stop();
    await until(() => watching.count('presenceReset') === 1);
    assert.equal(await status(binh, ana, 1), UNKNOWN);
    const client = app.client(PresenceService, binh);
    assert.equal((await client.heartbeat({ device: { id: 'a' } })).status, UNKNOWN);
    assert.equal((await client.setStatus({ status: AWAY, text: 'x' })).presence?.status, UNKNOWN);
    assert.equal((await client.listOnline({ channelId })).unknown, true);
    assert.equal((await client.getOnlineStats({})).onlineUserCount, undefined);
    assert.deepEqual(await client.startTyping({ channelId }), {
      $typeName: 'serp.discuss.v1.StartTypingResponse',
    });
    const late = await subscribe(chi, 0, { presenceUserIds: [ana.userId] });
    await ends(late, ana, UNKNOWN);
    await Promise.all([gone.disconnect(), late.disconnect()]);
    await app.redis.start();
    const reported = new Set<PresenceStatus | undefined>();
    await until(async () => {
      reported.add(await status(binh, ana, 1));
      return watching.count('presenceReset') === 2;
    });
    assert.ok(!reported.has(OFFLINE), 'a present user was reported as OFFLINE');
    assert.equal(await status(binh, ana, 1), BUSY);
    // The reset came from instance 1. Instance 0 reconnects, and reports absent users as offline, at its own time.
    for (const instance of [1, 0]) {
      await until(async () => (await status(binh, chi, instance)) === OFFLINE, `offline at ${instance}`);
      assert.equal(await status(binh, ana, instance), BUSY);
      assert.equal(await status(ana, binh, instance), AWAY);
    }
    const again = await subscribe(chi);
    await ends(watching, chi, ONLINE);
    await again.disconnect();
    await ends(watching, chi, OFFLINE);
  });
});
