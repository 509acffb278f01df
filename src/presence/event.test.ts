import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { PresenceStatus } from '#gen/serp/discuss/v1/presence_pb.ts';
import { PresenceService } from '#gen/serp/discuss/v1/presence_service_pb.ts';
import type { App } from '../../test/kit/app.ts';
import {
  DEBOUNCE_MS,
  openPresenceStreams,
  presenceStreamFixture,
} from '../../test/kit/presence-stream-fixture.ts';
import { until } from '../../test/kit/until.ts';

const { AWAY, BUSY, OFFLINE, ONLINE } = PresenceStatus;

describe('presence over Subscribe', () => {
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
});
