import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { Code } from '@connectrpc/connect';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { EventKind, EventKindSchema, EventSchema } from '#gen/serp/discuss/v1/event_pb.ts';
import { EventService, TenantStreamResetReason } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, type As, app, type Edge } from '../../../test/kit/app.ts';
import { rejects } from '../../../test/kit/rejects.ts';
import { TenantStreamReader } from '../../../test/kit/tenant-stream-reader.ts';
import { until } from '../../../test/kit/until.ts';
import { toPatchable } from '../log/wire.ts';
import { TenantLog } from './tenant-log.ts';

const DAY_MS = 86_400_000;

const service = (tenantId: number): As => ({
  userId: 0n,
  tenantId: BigInt(tenantId),
  roles: ['discuss.service'],
});
const everywhere: As = { ...service(0), tenants: '*' };

describe('EventService.StreamTenantEvents', () => {
  let the: App;
  const open: TenantStreamReader[] = [];

  before(async () => {
    the = await app({ EVENT_HEARTBEAT_MS: '200', EVENT_REPLAY_PAGE: '20' });
    await the.start();
  });
  afterEach(async () => {
    await Promise.all(open.splice(0).map((reader) => reader.disconnect()));
  });
  after(() => the.close());

  // A tenant for each test, read from its beginning: a reader that starts now may receive events committed just
  // before, while an older transaction of the server is open.
  let lastTenant = 0;
  const newTenant = () => {
    lastTenant += 1;
    return lastTenant;
  };
  const group = async (tenantId: number) => {
    const { channel } = await the
      .client(ChannelService, { userId: 1n, tenantId: BigInt(tenantId) })
      .createChannel({ name: 'Kho', memberUserIds: [2n] });
    return channel?.id ?? 0n;
  };
  const send = async (tenantId: number, channelId: bigint, content: string, instance = 0) => {
    const as = { userId: 1n, tenantId: BigInt(tenantId) };
    const { message } = await the
      .client(MessageService, as, 'grpc', instance)
      .sendMessage({ channelId, content });
    return message?.id ?? 0n;
  };
  const client = (as: As, edge: Edge = 'grpc', instance = 0) => the.client(EventService, as, edge, instance);
  const read = (
    as: As,
    reader = new TenantStreamReader({ fromOldest: true }),
    edge: Edge = 'grpc',
    instance = 0,
  ) => {
    open.push(reader);
    return reader.connect(client(as, edge, instance));
  };
  const logged = async () => {
    const rows = await the.owner<{ place: string }[]>`
      select concat_ws(':', tenant_id, channel_id, seq) as place from channel_events order by xid, id
    `;
    return rows.map(({ place }) => place);
  };
  const drop = (now: number) => the.owner`select drop_old_event_partitions(1, ${now + 2 * DAY_MS})`;

  it('delivers the events of one tenant or of all tenants on both edges and instances', async () => {
    const tenants = [newTenant(), newTenant()] as const;
    const channels = await Promise.all(tenants.map(group));
    const oldest = () => new TenantStreamReader({ fromOldest: true });
    const readers = await Promise.all([
      read(service(tenants[0]), oldest(), 'grpc', 1),
      read(service(tenants[1]), oldest(), 'web', 0),
      read(everywhere, oldest(), 'web', 1),
    ]);
    for (let index = 0; index < 50; index += 1)
      for (const [place, tenant] of tenants.entries())
        await send(tenant, channels[place] ?? 0n, `${tenant}-${index}`, index % 2);
    const texts = (tenant: number) => Array.from({ length: 50 }, (_, index) => `${tenant}-${index}`);
    const expected = [texts(tenants[0]), texts(tenants[1]), tenants.flatMap(texts)];
    for (const [index, reader] of readers.entries()) {
      await until(() => reader.texts.length === expected[index]?.length);
      assert.deepEqual(reader.texts.toSorted(), expected[index]?.toSorted());
      const served = new Set(reader.events.map(({ tenantId }) => Number(tenantId)));
      assert.deepEqual([...served].sort(), index < 2 ? [tenants[index]] : [...tenants]);
    }
  });

  it('reads the tenant of the header, otherwise the tenants of the claim', async () => {
    const [one, other] = [newTenant(), newTenant()];
    const channels = await Promise.all([one, other].map(group));
    const [named, claimed] = [
      new TenantStreamReader({ fromOldest: true }),
      new TenantStreamReader({ fromOldest: true }),
    ];
    open.push(named, claimed);
    await named.connect(client(everywhere), { headers: { 'x-tenant-id': `${other}` } });
    const tenants = [BigInt(one), 987_654n];
    await claimed.connect(client({ ...everywhere, tenants }));
    await send(one, channels[0] ?? 0n, 'một');
    await send(other, channels[1] ?? 0n, 'hai');
    await until(() => named.texts.length + claimed.texts.length === 2);
    assert.deepEqual([named.texts, claimed.texts], [['hai'], ['một']]);
    await rejects(
      new TenantStreamReader().connect(client({ ...everywhere, tenants }), {
        headers: { 'x-tenant-id': `${other}` },
      }),
      Code.PermissionDenied,
      'CALLER_NOT_ALLOWED',
    );
  });

  it('rejects a stream of no tenant', async () => {
    for (const as of [service(0), { ...service(0), tenants: [] }])
      await rejects(
        new TenantStreamReader().connect(client(as)),
        Code.PermissionDenied,
        'CALLER_NOT_ALLOWED',
      );
  });

  it('shares a read only between streams of the same tenants and kinds', async () => {
    const tenant = newTenant();
    await send(tenant, await group(tenant), 'một');
    const [instance] = the.instances;
    assert.ok(instance);
    const { config, db, metrics } = instance.deps;
    const tenantLog = new TenantLog({ config, pool: db.tenantStreams, metrics });
    const oldest = { epoch: -1n, xid: 0n, id: 0n };
    const { end } = await tenantLog.read(oldest, { tenants: 'all', kinds: undefined });
    const filters = [
      { tenants: 'all', kinds: undefined },
      { tenants: [], kinds: undefined },
      { tenants: 'all', kinds: [] },
    ] as const;
    const pages = await Promise.all(filters.map((filter) => tenantLog.read(end, filter)));
    const counts = pages.map(({ frames }) => frames.length);
    assert.ok((counts[0] ?? 0) > 0);
    assert.deepEqual(counts.slice(1), [0, 0]);
  });

  it('rejects callers other than services that act for no user', async () => {
    const user = { userId: 1n, tenantId: 1n };
    for (const as of [user, { ...user, roles: ['discuss.service'] }, { ...user, roles: ['discuss.admin'] }])
      await rejects(
        new TenantStreamReader().connect(client(as)),
        Code.PermissionDenied,
        'CALLER_NOT_ALLOWED',
      );
  });

  it('skips no event of a transaction that began before others and commits after them', async () => {
    const tenant = newTenant();
    const [early, late] = [await group(tenant), await group(tenant)];
    const reader = await read(service(tenant));
    await until(() => reader.events.length === 4);
    const committed = Promise.withResolvers<void>();
    const written = Promise.withResolvers<void>();
    const slow = the.owner.begin(async (sql) => {
      const change = { case: 'channelChanged', value: {} } as const;
      const { payload, seqOffset } = toPatchable({ channelId: early, actorId: 1n, change });
      await sql`select set_config('app.tenant_id', ${`${tenant}`}, true), set_config('app.role', 'service', true)`;
      await sql`select append_event(${early}, 'CHANNEL_CHANGED', 1, ${payload}, ${seqOffset}, null)`;
      written.resolve();
      await committed.promise;
    });
    await written.promise;
    for (const text of ['a', 'b', 'c']) await send(tenant, late, text);
    const [instance] = the.instances;
    const held = async () =>
      (await instance?.deps.metrics.tenantStreamHeldSeconds.get())?.values[0]?.value ?? 0;
    await until(async () => (await held()) > 0, 'a look at the log that has to wait');
    assert.equal(reader.events.length, 4);
    committed.resolve();
    await slow;
    await until(() => reader.events.length === 8);
    assert.deepEqual(reader.places.slice(4), [
      `${tenant}:${early}:3`,
      ...[3, 4, 5].map((seq) => `${tenant}:${late}:${seq}`),
    ]);
  });

  it('continues from every cursor that it sent', async () => {
    const tenant = newTenant();
    const channelId = await group(tenant);
    const reader = await read(service(tenant));
    for (let index = 0; index < 45; index += 1) await send(tenant, channelId, `${index}`);
    await until(() => reader.events.length === 47);
    const cursors = reader.received.filter(({ payload }) => payload.case !== 'heartbeat');
    for (const at of [0, 1, 19, 20, 46, 47]) {
      const resumed = new TenantStreamReader();
      resumed.cursor = cursors[at]?.cursor ?? '';
      await read(service(tenant), resumed, 'web', at % 2);
      await until(() => resumed.events.length >= 47 - at && resumed.count('heartbeat') > 0);
      assert.deepEqual(resumed.places, reader.places.slice(at));
      await resumed.disconnect();
    }
  });

  it('begins with the oldest event if requested, in the order of the log', async () => {
    const tenant = newTenant();
    await send(tenant, await group(tenant), 'cũ');
    const reader = await read(everywhere);
    const all = await logged();
    await until(() => reader.events.length >= all.length);
    assert.deepEqual(reader.places, all);
    assert.equal(reader.count('reset'), 0);
  });

  it('begins with events committed after the start otherwise', async () => {
    const tenant = newTenant();
    const channelId = await group(tenant);
    await send(tenant, channelId, 'trước');
    const past = await read(service(tenant));
    await until(() => past.texts.length === 1);
    const reader = await read(service(tenant), new TenantStreamReader());
    await send(tenant, channelId, 'sau');
    await until(() => reader.events.length > 0);
    assert.deepEqual(reader.texts, ['sau']);
  });

  it('delivers only the requested kinds, and each kind has the name and number of its field', async () => {
    const tenant = newTenant();
    const channelId = await group(tenant);
    const kinds = [EventKind.MESSAGE_DELETED, EventKind.MEMBERS_JOINED];
    const reader = await read(service(tenant), new TenantStreamReader({ kinds, fromOldest: true }));
    await send(tenant, channelId, 'ở lại');
    const messageId = await send(tenant, channelId, 'đi');
    const ana = { userId: 1n, tenantId: BigInt(tenant) };
    await the.client(MessageService, ana).deleteMessage({ channelId, messageId });
    await until(() => reader.events.length > 1 && reader.count('heartbeat') > 0);
    assert.deepEqual(
      reader.events.map(({ event }) => event?.change.case),
      ['membersJoined', 'messageDeleted'],
    );
    const fields = EventSchema.oneofs[0]?.fields.map(({ name, number }) => [name.toUpperCase(), number]);
    const all = EventKindSchema.values.map(({ name, number }) => [name.slice('EVENT_KIND_'.length), number]);
    assert.deepEqual(all.slice(1), fields);
  });

  it('advances the cursor with heartbeats when the filter lets no event through, so that it does not expire', async () => {
    const tenant = newTenant();
    const channelId = await group(tenant);
    const unused = { kinds: [EventKind.POLL_CHANGED] };
    const [filtered, stopped, all] = await Promise.all([
      read(service(tenant), new TenantStreamReader(unused)),
      read(service(tenant), new TenantStreamReader(unused)),
      read(service(tenant)),
    ]);
    await stopped.disconnect();
    for (let index = 0; index < 30; index += 1) await send(tenant, channelId, 'x');
    await until(() => all.texts.length === 30);
    const beats = filtered.count('heartbeat');
    await until(() => filtered.count('heartbeat') > beats + 1);
    await filtered.disconnect();
    await drop(Date.now());
    await Promise.all([read(service(tenant), filtered), read(service(tenant), stopped)]);
    await until(() => stopped.count('reset') === 1);
    const before = filtered.count('heartbeat');
    await until(() => filtered.count('heartbeat') > before);
    assert.equal(filtered.count('reset'), 0);
  });

  it('sends RESET when events after the cursor were dropped, but not when the cursor is the last dropped event', async () => {
    await the.owner`select ensure_partitions()`;
    const tenant = newTenant();
    const channelId = await group(tenant);
    const reader = await read(service(tenant));
    for (let index = 0; index < 3; index += 1) await send(tenant, channelId, `${index}`);
    await until(() => reader.events.length === 5);
    await reader.disconnect();
    const [before, last] = reader.received.filter(({ payload }) => payload.case === 'event').slice(-2);
    await drop(Date.now());
    await the.owner`select ensure_partitions()`;
    await send(tenant, channelId, 'sau');
    const results = [];
    for (const cursor of [before?.cursor, last?.cursor]) {
      const resumed = Object.assign(new TenantStreamReader(), { cursor });
      await read(service(tenant), resumed);
      await until(() => resumed.events.length === 1);
      results.push([resumed.count('reset'), ...resumed.texts]);
    }
    assert.deepEqual(results, [
      [1, 'sau'],
      [0, 'sau'],
    ]);
  });

  it('sends RESET for a cursor of another log, and rejects text that is not a cursor', async () => {
    const tenant = newTenant();
    const channelId = await group(tenant);
    const reader = await read(service(tenant));
    const cursor = Buffer.from(reader.cursor, 'base64url');
    cursor.writeBigUInt64BE(cursor.readBigUInt64BE(8) + 1_000_000n, 8);
    const future = new TenantStreamReader();
    future.cursor = cursor.toString('base64url');
    await read(service(tenant), future);
    await the.owner`select restart_event_log()`;
    await read(service(tenant), Object.assign(new TenantStreamReader(), { cursor: reader.cursor }));
    const restored = open.at(-1);
    // The open stream receives it as well.
    for (const lost of [future, restored, reader]) {
      await until(() => (lost?.count('reset') ?? 0) > 0);
      const reset = lost?.received.find(({ payload }) => payload.case === 'reset')?.payload;
      assert.ok(reset?.case === 'reset' && reset.value.reason === TenantStreamResetReason.HISTORY_CHANGED);
    }
    await send(tenant, channelId, 'mới');
    await until(() => reader.texts.at(-1) === 'mới');
    for (const nonsense of ['x', '?'.repeat(32), 'A'.repeat(31), `${reader.cursor}A`, '_'.repeat(32)])
      await rejects(
        Object.assign(new TenantStreamReader(), { cursor: nonsense }).connect(client(service(tenant))),
        Code.InvalidArgument,
        'FIELD_INVALID',
      );
  });

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
