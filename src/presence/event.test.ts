import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { PresenceStatus } from '#gen/serp/discuss/v1/presence_pb.ts';
import { PresenceService } from '#gen/serp/discuss/v1/presence_service_pb.ts';
import { type App, type As, app as startApp } from '../../test/kit/app.ts';
import { Subscriber } from '../../test/kit/stream.ts';
import { until } from '../../test/kit/until.ts';
import type { RedisClient } from '../redis/client.ts';

const { AWAY, BUSY, OFFLINE, ONLINE, UNKNOWN } = PresenceStatus;

const DEVICE_MS = 2_000;
const GRACE_MS = 1_000;
const DEBOUNCE_MS = 100;

const user = (id: number, tenantId = 1n): As => ({ userId: BigInt(id), tenantId });

describe('presence over Subscribe', () => {
  let app: App;
  let redis: RedisClient;
  let nextUser = 1_000;
  const open: Subscriber[] = [];

  before(async () => {
    app = await startApp({
      PRESENCE_TTL_MS: '6000',
      PRESENCE_DEVICE_TTL_MS: `${DEVICE_MS}`,
      PRESENCE_GRACE_MS: `${GRACE_MS}`,
      PRESENCE_DEBOUNCE_MS: `${DEBOUNCE_MS}`,
      PRESENCE_POLL_MS: '100',
      // Instances reconnect to Redis up to 1 s apart, and then refresh their streams within half of this time.
      PRESENCE_RECOVERY_MS: '3000',
      PRESENCE_MAX_MEMBERS: '4',
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

  /** A user without any stored data. */
  const fresh = (): As => {
    nextUser += 1;
    return user(nextUser);
  };
  const group = async (owner: As, ...members: As[]) => {
    const { channel } = await app.client(ChannelService, owner).createChannel({
      name: 'Tổ',
      private: true,
      memberUserIds: members.map(({ userId }) => userId),
    });
    return channel?.id ?? 0n;
  };
  const subscribe = async (
    as: As,
    instance = 0,
    more: ConstructorParameters<typeof Subscriber>[2] = {},
    channelIds: bigint[] = [],
  ) => {
    const subscriber = new Subscriber(app.client(EventService, as, 'grpc', instance), channelIds, more);
    open.push(subscriber);
    return subscriber.connect();
  };
  const status = async (as: As, of: As, instance = 0) =>
    (await app.client(PresenceService, as, 'grpc', instance).getPresence({ userIds: [of.userId] })).users[0]
      ?.status;
  const receives = (subscriber: Subscriber, of: As, ...statuses: PresenceStatus[]) =>
    until(() => {
      const received = subscriber.statuses(of.userId);
      return received.length >= statuses.length && received.at(-1) === statuses.at(-1);
    }, `${statuses}`).then(() => assert.deepEqual(subscriber.statuses(of.userId), statuses));

  /** Ignores how many updates a stream received. */
  const ends = (subscriber: Subscriber, of: As, status: PresenceStatus) =>
    until(() => subscriber.statuses(of.userId).at(-1) === status, `${status}`);

  it('the user of an open stream stays online beyond the lifetime of a device, until the stream ends', async () => {
    const [ana, binh] = [fresh(), fresh()];
    await group(ana, binh);
    const watching = await subscribe(binh, 1);
    const stream = await subscribe(ana);
    await receives(watching, ana, ONLINE);
    const end = Date.now() + 2 * DEVICE_MS;
    await until(async () => {
      assert.equal(await status(binh, ana, 1), ONLINE);
      return Date.now() > end;
    });
    await stream.disconnect();
    await receives(watching, ana, ONLINE, OFFLINE);
    assert.equal(await status(binh, ana), OFFLINE);
  });

  it('a stream that reconnects to any instance within the grace time causes no update', async () => {
    const [ana, binh] = [fresh(), fresh()];
    await group(ana, binh);
    const watching = await subscribe(binh);
    const stream = await subscribe(ana, 0, { device: { id: 'tab' } });
    await receives(watching, ana, ONLINE);
    for (let turn = 1; turn <= 4; turn += 1) {
      await stream.disconnect();
      const reconnect = Date.now() + GRACE_MS / 3;
      await until(() => Date.now() > reconnect);
      await stream.connect(app.client(EventService, ana, 'grpc', turn % 2));
    }
    const end = Date.now() + 2 * GRACE_MS;
    await until(() => Date.now() > end);
    assert.deepEqual(watching.statuses(ana.userId), [ONLINE]);
    const fields = (await redis.hkeys(`presence:${ana.userId}`)).filter((name) => name.startsWith('d:'));
    assert.equal(fields.length, 1);
  });

  it('a user with several devices is online until the last one disconnects', async () => {
    const [ana, binh] = [fresh(), fresh()];
    await group(ana, binh);
    const watching = await subscribe(binh);
    const devices = await Promise.all([subscribe(ana), subscribe(ana, 1), subscribe(ana)]);
    await receives(watching, ana, ONLINE);
    for (const device of devices.slice(1)) await device.disconnect();
    const end = Date.now() + 2 * GRACE_MS;
    await until(() => Date.now() > end);
    assert.deepEqual(watching.statuses(ana.userId), [ONLINE]);
    await devices[0]?.disconnect();
    await receives(watching, ana, ONLINE, OFFLINE);
  });

  it('a heartbeat sets the status of a stream, which is kept over a reconnect', async () => {
    const [ana, binh] = [fresh(), fresh()];
    await group(ana, binh);
    const watching = await subscribe(binh);
    const stream = await subscribe(ana);
    const device = { id: stream.last('started')?.value.deviceId ?? '' };
    assert.notEqual(device.id, '');
    await receives(watching, ana, ONLINE);
    await app.client(PresenceService, ana, 'grpc', 1).heartbeat({ device, status: AWAY });
    await receives(watching, ana, ONLINE, AWAY);
    await stream.disconnect();
    const again = await subscribe(ana, 1, { device });
    const end = Date.now() + DEVICE_MS;
    await until(() => Date.now() > end);
    assert.equal(await status(binh, ana), AWAY);
    assert.deepEqual(watching.statuses(ana.userId), [ONLINE, AWAY]);
    await app.client(PresenceService, ana).heartbeat({ device, status: OFFLINE });
    await receives(watching, ana, ONLINE, AWAY, OFFLINE);
    await again.disconnect();
    await subscribe(ana, 0, { device });
    await receives(watching, ana, ONLINE, AWAY, OFFLINE, ONLINE);
  });

  it('presence is broadcast only to members of shared small channels and direct channels', async () => {
    const [ana, binh, chi, dung, em, stranger, former] = [
      fresh(),
      fresh(),
      fresh(),
      fresh(),
      fresh(),
      fresh(),
      fresh(),
    ];
    await group(ana, binh);
    await group(ana, chi, dung, em, former);
    await app.client(ChannelService, ana).getOrCreateDirectChannel({ userId: dung.userId });
    const left = await group(ana, former);
    await app.owner`update channel_members set status = 'LEFT' where channel_id = ${left} and user_id = ${former.userId}`;
    const namesake = { userId: binh.userId, tenantId: 2n };
    const [near, large, direct, far, gone, foreign] = await Promise.all(
      [binh, chi, dung, stranger, former, namesake].map((as, index) => subscribe(as, index % 2)),
    );
    const stream = await subscribe(ana);
    assert.ok(near && large && direct && far && gone && foreign);
    await receives(near, ana, ONLINE);
    await receives(direct, ana, ONLINE);
    await stream.disconnect();
    await receives(near, ana, ONLINE, OFFLINE);
    await receives(direct, ana, ONLINE, OFFLINE);
    for (const other of [large, far, gone, foreign]) assert.deepEqual(other.statuses(ana.userId), []);
  });

  it('a stream that shares several channels with a user receives one update', async () => {
    const [ana, binh] = [fresh(), fresh()];
    for (let channel = 0; channel < 5; channel += 1) await group(ana, binh);
    const watching = await subscribe(binh, 1, { presenceUserIds: [ana.userId] });
    await receives(watching, ana, OFFLINE);
    await subscribe(ana);
    await receives(watching, ana, OFFLINE, ONLINE);
  });

  it('a stream receives the presence of users of its tenant that it requested, from its start', async () => {
    const [ana, far] = [fresh(), fresh()];
    await app.client(PresenceService, ana).setStatus({ status: BUSY, text: 'Họp' });
    const stream = await subscribe(ana);
    await until(async () => (await status(far, ana)) === BUSY);
    const watching = await subscribe(far, 1, { presenceUserIds: [ana.userId] });
    const foreign = await subscribe({ ...far, tenantId: 2n }, 0, { presenceUserIds: [ana.userId] });
    await ends(watching, ana, BUSY);
    assert.equal(watching.last('presence')?.value.users[0]?.text, 'Họp');
    await app.client(PresenceService, ana, 'grpc', 1).setStatus({ status: BUSY, text: 'Họp dài' });
    await until(() => watching.last('presence')?.value.users[0]?.text === 'Họp dài');
    await stream.disconnect();
    await ends(watching, ana, OFFLINE);
    assert.deepEqual(foreign.statuses(ana.userId), [OFFLINE]);
  });

  it('many changes within the interval cause one update with the result, or none without a difference', async () => {
    const [ana, binh] = [fresh(), fresh()];
    await group(ana, binh);
    const watching = await subscribe(binh);
    const client = app.client(PresenceService, ana);
    const device = { id: 'a' };
    await client.heartbeat({ device });
    await receives(watching, ana, ONLINE);
    const began = Date.now();
    await Promise.all([
      client.heartbeat({ device, status: AWAY }),
      client.heartbeat({ device, status: BUSY }),
      client.heartbeat({ device, status: ONLINE }),
    ]);
    for (let turn = 0; turn < 20; turn += 1) {
      await client.heartbeat({ device, status: turn % 2 === 0 ? ONLINE : AWAY });
    }
    await until(() => watching.statuses(ana.userId).at(-1) === AWAY);
    const received = watching.statuses(ana.userId);
    const intervals = Math.ceil((Date.now() - began) / DEBOUNCE_MS);
    assert.ok(intervals < 20 && received.length <= intervals + 2, `${received} in ${intervals} intervals`);
    for (const [index, one] of received.entries()) assert.notEqual(one, received[index - 1]);
  });

  it('an outdated update of another instance is dropped', async () => {
    const [ana, binh] = [fresh(), fresh()];
    const channelId = await group(ana, binh);
    const watching = await subscribe(binh);
    await subscribe(ana);
    await receives(watching, ana, ONLINE);
    const updates = watching.others.flatMap((payload) =>
      payload.case === 'presence' ? payload.value.users.filter(({ userId }) => userId === ana.userId) : [],
    );
    const version = updates.at(-1)?.version ?? 0n;
    const publish = (status: PresenceStatus, at: bigint) =>
      app.instances[1]?.deps.relay.presence([
        {
          ...ana,
          version: at,
          channelIds: [channelId],
          payload: { case: 'presence', value: { users: [{ userId: ana.userId, status, version: at }] } },
        },
      ]);
    publish(OFFLINE, version - 1n);
    publish(AWAY, version + 1n);
    publish(BUSY, version);
    await app
      .client(PresenceService, ana)
      .heartbeat({ device: { id: open.at(-1)?.last('started')?.value.deviceId ?? '' }, status: BUSY });
    await receives(watching, ana, ONLINE, AWAY, BUSY);
  });

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
