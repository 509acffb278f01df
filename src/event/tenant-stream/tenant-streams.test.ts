import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { Code } from '@connectrpc/connect';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { type App, app } from '../../../test/kit/app.ts';
import { service, tenantStreamFixture } from '../../../test/kit/tenant-stream-fixture.ts';
import { TenantStreamReader } from '../../../test/kit/tenant-stream-reader.ts';
import { until } from '../../../test/kit/until.ts';

describe('open streams of tenants', () => {
  let the: App;

  before(async () => {
    the = await app({ EVENT_HEARTBEAT_MS: '200', EVENT_REPLAY_PAGE: '20' });
    await the.start();
  });
  afterEach(async () => {
    await Promise.all(open.splice(0).map((reader) => reader.disconnect()));
  });
  after(() => the.close());

  const { open, newTenant, group, send, client, read } = tenantStreamFixture(() => the);

  it('buffers one page at most for a consumer that reads nothing', async () => {
    const tenant = newTenant();
    const channelId = await group(tenant);
    const [instance] = the.instances;
    assert.ok(instance);
    const large = 'đ'.repeat(9_000);
    for (let index = 0; index < 100; index += 1) await send(tenant, channelId, large);
    const call = new AbortController();
    let [written, buffered] = [0, 0];
    let drain = () => {};
    const { log, metrics } = instance.deps;
    const caller = {
      kind: 'service',
      tenantId: BigInt(tenant),
      userId: 0n,
      name: '',
      roles: new Set<string>(),
    } as const;
    const method = EventService.method.streamTenantEvents;
    const served = instance.deps.tenantStreams.serve(
      { filter: { tenants: [BigInt(tenant)], kinds: undefined }, from: 'oldest' },
      {
        edge: 'grpc',
        method,
        caller,
        signal: call.signal,
        ended: undefined,
        deadline: undefined,
        requestId: '',
        log,
        onDrain() {},
      },
      {
        write(frame) {
          written += 1;
          buffered += frame.binary.length;
        },
        get buffered() {
          return buffered;
        },
        onDrain(callback) {
          drain = callback;
        },
      },
    );
    const most = instance.deps.config.event.streamBufferBytes + 20_000;
    const events = async () => (await metrics.tenantStreamEvents.get()).values[0]?.value ?? 0;
    const take = () => {
      assert.ok(buffered <= most, `${buffered} bytes wait`);
      buffered = 0;
      drain();
    };
    // The first write is the start; then each page waits until the one before it was taken.
    for (let taken = 1; written < 100; taken = written) {
      await until(() => written > taken);
      // A page is written in more than one turn of the event loop.
      for (let before = 0; written > before; ) {
        before = written;
        await send(tenant, channelId, 'đánh thức');
      }
      const sent = await events();
      await send(tenant, channelId, 'đánh thức');
      assert.equal(await events(), sent, 'nothing is sent past a connection that takes nothing');
      take();
    }
    call.abort();
    await served;
  });

  it('delivers while Redis is down, and stays open while PostgreSQL drops its connections', async () => {
    const tenant = newTenant();
    const channelId = await group(tenant);
    const readers = await Promise.all([
      read(service(tenant), new TenantStreamReader({ fromOldest: true }), 'grpc', 0),
      read(service(tenant), new TenantStreamReader({ fromOldest: true }), 'web', 1),
    ]);
    await the.redis.stop();
    for (let index = 0; index < 20; index += 1) await send(tenant, channelId, `${index}`, index % 2);
    for (const reader of readers) await until(() => reader.texts.length === 20);
    await the.redis.start();
    await the.owner`
      select pg_terminate_backend(pid)
      from pg_stat_activity
      where datname = current_database() and application_name like 'discuss/%'
    `;
    await until(() =>
      send(tenant, channelId, 'sau bão').then(
        () => true,
        () => false,
      ),
    );
    for (const reader of readers) {
      await until(() => reader.texts.at(-1) === 'sau bão');
      assert.equal(reader.error, undefined);
    }
  });

  it('ends with UNAVAILABLE when the instance drains, and continues at another instance', async () => {
    const tenant = newTenant();
    const channelId = await group(tenant);
    const draining = await the.start();
    const oldest = new TenantStreamReader({ fromOldest: true });
    const reader = await read(service(tenant), oldest, 'grpc', the.instances.indexOf(draining));
    await send(tenant, channelId, 'trước');
    await until(() => reader.texts.length === 1);
    const drained = draining.drain();
    await until(() => reader.error !== undefined);
    assert.equal(reader.error?.code, Code.Unavailable);
    await drained;
    await send(tenant, channelId, 'sau');
    await reader.connect(client(service(tenant), 'web', 1));
    await until(() => reader.texts.length === 2);
    assert.deepEqual(reader.texts, ['trước', 'sau']);
  });
});
