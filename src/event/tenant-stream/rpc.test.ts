import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { Code } from '@connectrpc/connect';
import { EventKind, EventKindSchema, EventSchema } from '#gen/serp/discuss/v1/event_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, app } from '../../../test/kit/app.ts';
import { rejects } from '../../../test/kit/rejects.ts';
import { everywhere, service, tenantStreamFixture } from '../../../test/kit/tenant-stream-fixture.ts';
import { TenantStreamReader } from '../../../test/kit/tenant-stream-reader.ts';
import { until } from '../../../test/kit/until.ts';
import { toPatchable } from '../log/wire.ts';
import { TenantLog } from './tenant-log.ts';

describe('EventService.StreamTenantEvents', () => {
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
});
