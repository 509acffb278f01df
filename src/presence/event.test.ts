import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { PresenceStatus } from '#gen/serp/discuss/v1/presence_pb.ts';
import { PresenceService } from '#gen/serp/discuss/v1/presence_service_pb.ts';
import { type App, type As, app } from '../../test/kit/app.ts';
import { Subscriber } from '../../test/kit/stream.ts';
import { until } from '../../test/kit/until.ts';
import type { RedisClient } from '../redis/client.ts';

const { AWAY, BUSY, OFFLINE, ONLINE, UNKNOWN } = PresenceStatus;

const DEVICE_MS = 2_000;
const GRACE_MS = 1_000;
const COALESCE_MS = 100;

const user = (id: number, tenantId = 1n): As => ({ userId: BigInt(id), tenantId });

describe('presence over Subscribe', () => {
  let the: App;
  let redis: RedisClient;
  let nextUser = 1_000;
  const open: Subscriber[] = [];

  before(async () => {
    the = await app({
      PRESENCE_TTL_MS: '6000',
      PRESENCE_DEVICE_TTL_MS: `${DEVICE_MS}`,
      PRESENCE_GRACE_MS: `${GRACE_MS}`,
      PRESENCE_DEBOUNCE_MS: `${COALESCE_MS}`,
      PRESENCE_POLL_MS: '100',
      // Instances reconnect to Redis up to 1 s apart, and then refresh their streams within half of this time.
      PRESENCE_RECOVERY_MS: '3000',
      PRESENCE_MAX_MEMBERS: '4',
    });
    await the.start();
    redis = the.redis.client;
  });
  afterEach(async () => {
    await Promise.all(open.splice(0).map((subscriber) => subscriber.disconnect()));
  });
  after(async () => {
    await the.close();
  });

  /** A user nobody has dealt with yet. */
  const fresh = (): As => {
    nextUser += 1;
    return user(nextUser);
  };
  const group = async (owner: As, ...members: As[]) => {
    const { channel } = await the.client(ChannelService, owner).createChannel({
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
    const subscriber = new Subscriber(the.client(EventService, as, 'grpc', instance), channelIds, more);
    open.push(subscriber);
    return subscriber.connect();
  };
  const status = async (as: As, of: As, instance = 0) =>
    (await the.client(PresenceService, as, 'grpc', instance).getPresence({ userIds: [of.userId] })).users[0]
      ?.status;
  const told = (subscriber: Subscriber, of: As, ...statuses: PresenceStatus[]) =>
    until(() => {
      const seen = subscriber.statuses(of.userId);
      return seen.length >= statuses.length && seen.at(-1) === statuses.at(-1);
    }, `${statuses}`).then(() => assert.deepEqual(subscriber.statuses(of.userId), statuses));

  /** For where it does not matter how often a stream was told. */
  const comes = (subscriber: Subscriber, of: As, status: PresenceStatus) =>
    until(() => subscriber.statuses(of.userId).at(-1) === status, `${status}`);

  it('keeps the user of an open stream present, well beyond the time of a device, and ends with it', async () => {
    const [ana, binh] = [fresh(), fresh()];
    await group(ana, binh);
    const watching = await subscribe(binh, 1);
    const stream = await subscribe(ana);
    await told(watching, ana, ONLINE);
    const end = Date.now() + 2 * DEVICE_MS;
    await until(async () => {
      assert.equal(await status(binh, ana, 1), ONLINE);
      return Date.now() > end;
    });
    await stream.disconnect();
    await told(watching, ana, ONLINE, OFFLINE);
    assert.equal(await status(binh, ana), OFFLINE);
  });

  it('does not flap when a stream reconnects within the grace time, to whatever instance', async () => {
    const [ana, binh] = [fresh(), fresh()];
    await group(ana, binh);
    const watching = await subscribe(binh);
    const stream = await subscribe(ana, 0, { device: { id: 'tab' } });
    await told(watching, ana, ONLINE);
    for (let turn = 1; turn <= 4; turn += 1) {
      await stream.disconnect();
      const back = Date.now() + GRACE_MS / 3;
      await until(() => Date.now() > back);
      await stream.connect(the.client(EventService, ana, 'grpc', turn % 2));
    }
    const later = Date.now() + 2 * GRACE_MS;
    await until(() => Date.now() > later);
    assert.deepEqual(watching.statuses(ana.userId), [ONLINE]);
    const fields = (await redis.hkeys(`presence:${ana.userId}`)).filter((name) => name.startsWith('d:'));
    assert.equal(fields.length, 1);
  });

  it('shows a user with several devices until the last one closes', async () => {
    const [ana, binh] = [fresh(), fresh()];
    await group(ana, binh);
    const watching = await subscribe(binh);
    const devices = await Promise.all([subscribe(ana), subscribe(ana, 1), subscribe(ana)]);
    await told(watching, ana, ONLINE);
    for (const device of devices.slice(1)) await device.disconnect();
    const later = Date.now() + 2 * GRACE_MS;
    await until(() => Date.now() > later);
    assert.deepEqual(watching.statuses(ana.userId), [ONLINE]);
    await devices[0]?.disconnect();
    await told(watching, ana, ONLINE, OFFLINE);
  });

  it('lets a heartbeat say of a stream that its user is away, and keeps that over a reconnect', async () => {
    const [ana, binh] = [fresh(), fresh()];
    await group(ana, binh);
    const watching = await subscribe(binh);
    const stream = await subscribe(ana);
    const device = { id: stream.last('started')?.value.deviceId ?? '' };
    assert.notEqual(device.id, '');
    await told(watching, ana, ONLINE);
    await the.client(PresenceService, ana, 'grpc', 1).heartbeat({ device, status: AWAY });
    await told(watching, ana, ONLINE, AWAY);
    await stream.disconnect();
    const again = await subscribe(ana, 1, { device });
    const later = Date.now() + DEVICE_MS;
    await until(() => Date.now() > later);
    assert.equal(await status(binh, ana), AWAY);
    assert.deepEqual(watching.statuses(ana.userId), [ONLINE, AWAY]);
    await the.client(PresenceService, ana).heartbeat({ device, status: OFFLINE });
    await told(watching, ana, ONLINE, AWAY, OFFLINE);
    await again.disconnect();
    await subscribe(ana, 0, { device });
    await told(watching, ana, ONLINE, AWAY, OFFLINE, ONLINE);
  });

  it('tells those who share a small or direct channel, and nobody else', async () => {
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
    await the.client(ChannelService, ana).getOrCreateDirectChannel({ userId: dung.userId });
    const left = await group(ana, former);
    await the.owner`update channel_members set status = 'LEFT' where channel_id = ${left} and user_id = ${former.userId}`;
    const namesake = { userId: binh.userId, tenantId: 2n };
    const [near, large, direct, far, gone, foreign] = await Promise.all(
      [binh, chi, dung, stranger, former, namesake].map((as, index) => subscribe(as, index % 2)),
    );
    const stream = await subscribe(ana);
    assert.ok(near && large && direct && far && gone && foreign);
    await told(near, ana, ONLINE);
    await told(direct, ana, ONLINE);
    await stream.disconnect();
    await told(near, ana, ONLINE, OFFLINE);
    await told(direct, ana, ONLINE, OFFLINE);
    for (const other of [large, far, gone, foreign]) assert.deepEqual(other.statuses(ana.userId), []);
  });

  it('tells a stream of several shared channels once', async () => {
    const [ana, binh] = [fresh(), fresh()];
    for (let channel = 0; channel < 5; channel += 1) await group(ana, binh);
    const watching = await subscribe(binh, 1, { presenceUserIds: [ana.userId] });
    await told(watching, ana, OFFLINE);
    await subscribe(ana);
    await told(watching, ana, OFFLINE, ONLINE);
  });

  it('tells who asked for a user of the own tenant, from the start', async () => {
    const [ana, far] = [fresh(), fresh()];
    await the.client(PresenceService, ana).setStatus({ status: BUSY, text: 'Họp' });
    const stream = await subscribe(ana);
    await until(async () => (await status(far, ana)) === BUSY);
    const watching = await subscribe(far, 1, { presenceUserIds: [ana.userId] });
    const foreign = await subscribe({ ...far, tenantId: 2n }, 0, { presenceUserIds: [ana.userId] });
    await comes(watching, ana, BUSY);
    assert.equal(watching.last('presence')?.value.users[0]?.text, 'Họp');
    await the.client(PresenceService, ana, 'grpc', 1).setStatus({ status: BUSY, text: 'Họp dài' });
    await until(() => watching.last('presence')?.value.users[0]?.text === 'Họp dài');
    await stream.disconnect();
    await comes(watching, ana, OFFLINE);
    assert.deepEqual(foreign.statuses(ana.userId), [OFFLINE]);
  });

  it('tells of many changes at once what they come to, and nothing when that is nothing', async () => {
    const [ana, binh] = [fresh(), fresh()];
    await group(ana, binh);
    const watching = await subscribe(binh);
    const client = the.client(PresenceService, ana);
    const device = { id: 'a' };
    await client.heartbeat({ device });
    await told(watching, ana, ONLINE);
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
    const seen = watching.statuses(ana.userId);
    const rounds = Math.ceil((Date.now() - began) / COALESCE_MS);
    assert.ok(rounds < 20 && seen.length <= rounds + 2, `${seen} in ${rounds} rounds`);
    for (const [index, one] of seen.entries()) assert.notEqual(one, seen[index - 1]);
  });

  it('drops what another instance tells too late', async () => {
    const [ana, binh] = [fresh(), fresh()];
    const channelId = await group(ana, binh);
    const watching = await subscribe(binh);
    await subscribe(ana);
    await told(watching, ana, ONLINE);
    const version = watching.last('presence')?.value.users[0]?.version ?? 0n;
    const tell = (status: PresenceStatus, at: bigint) =>
      the.instances[1]?.deps.relay.presence([
        {
          ...ana,
          version: at,
          channelIds: [channelId],
          payload: { case: 'presence', value: { users: [{ userId: ana.userId, status, version: at }] } },
        },
      ]);
    tell(OFFLINE, version - 1n);
    tell(AWAY, version + 1n);
    tell(BUSY, version);
    await the
      .client(PresenceService, ana)
      .heartbeat({ device: { id: open.at(-1)?.last('started')?.value.deviceId ?? '' }, status: BUSY });
    await told(watching, ana, ONLINE, AWAY, BUSY);
  });

  it('finds the users of an instance that died', async () => {
    const [ana, binh] = [fresh(), fresh()];
    await group(ana, binh);
    const third = await the.start();
    const watching = await subscribe(binh);
    await subscribe(ana, 2);
    await told(watching, ana, ONLINE);
    // No goodbye reaches Redis.
    third.deps.redis.disconnect();
    const died = Date.now();
    await told(watching, ana, ONLINE, OFFLINE);
    assert.ok(Date.now() - died < 6_000, 'within the TTL');
  });

  it('answers UNKNOWN while Redis is away, and comes back by itself', async () => {
    const [ana, binh, chi] = [fresh(), fresh(), fresh()];
    const channelId = await group(ana, binh, chi);
    await the.client(PresenceService, ana).setStatus({ status: BUSY });
    const watching = await subscribe(binh, 1);
    await subscribe(ana);
    await comes(watching, ana, BUSY);
    const gone = await subscribe(chi);
    await comes(watching, chi, ONLINE);
    await the.redis.stop();
    await until(() => watching.count('presenceReset') === 1);
    assert.equal(await status(binh, ana, 1), UNKNOWN);
    const client = the.client(PresenceService, binh);
    assert.equal((await client.heartbeat({ device: { id: 'a' } })).status, UNKNOWN);
    assert.equal((await client.setStatus({ status: AWAY, text: 'x' })).presence?.status, UNKNOWN);
    assert.equal((await client.listOnline({ channelId })).unknown, true);
    assert.equal((await client.getOnlineStats({})).onlineUserCount, undefined);
    assert.deepEqual(await client.startTyping({ channelId }), {
      $typeName: 'serp.discuss.v1.StartTypingResponse',
    });
    const late = await subscribe(chi, 0, { presenceUserIds: [ana.userId] });
    await comes(late, ana, UNKNOWN);
    await Promise.all([gone.disconnect(), late.disconnect()]);
    await the.redis.start();
    const answers = new Set<PresenceStatus | undefined>();
    await until(async () => {
      answers.add(await status(binh, ana, 1));
      return watching.count('presenceReset') === 2;
    });
    assert.ok(!answers.has(OFFLINE), 'nobody is said to have gone before they were asked');
    assert.equal(await status(binh, ana, 1), BUSY);
    // The reset came from instance 1. Instance 0 reconnects, and reports absent users as offline, at its own time.
    for (const instance of [1, 0]) {
      await until(async () => (await status(binh, chi, instance)) === OFFLINE, `offline at ${instance}`);
      assert.equal(await status(binh, ana, instance), BUSY);
      assert.equal(await status(ana, binh, instance), AWAY);
    }
    const again = await subscribe(chi);
    await comes(watching, chi, ONLINE);
    await again.disconnect();
    await comes(watching, chi, OFFLINE);
  });
});
