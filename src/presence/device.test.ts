import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { PresenceStatus } from '#gen/serp/discuss/v1/presence_pb.ts';
import { PresenceService } from '#gen/serp/discuss/v1/presence_service_pb.ts';
import type { App } from '../../test/kit/app.ts';
import {
  DEVICE_MS,
  GRACE_MS,
  openPresenceStreams,
  presenceStreamFixture,
} from '../../test/kit/presence-stream-fixture.ts';
import { until } from '../../test/kit/until.ts';
import type { RedisClient } from '../redis/client.ts';

const { AWAY, OFFLINE, ONLINE } = PresenceStatus;

describe('devices of streams', () => {
  let app: App;
  let redis: RedisClient;

  before(async () => {
    app = await openPresenceStreams();
    redis = app.redis.client;
  });
  afterEach(async () => {
    await Promise.all(open.splice(0).map((subscriber) => subscriber.disconnect()));
  });
  after(async () => {
    await app.close();
  });

  const { open, fresh, group, subscribe, status, receives } = presenceStreamFixture(() => app);

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
});
