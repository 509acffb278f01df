import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { Code } from '@connectrpc/connect';
import { EventKind } from '#gen/serp/discuss/v1/event_pb.ts';
import { TenantStreamResetReason } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { type App, app } from '../../../test/kit/app.ts';
import { rejects } from '../../../test/kit/rejects.ts';
import { everywhere, service, tenantStreamFixture } from '../../../test/kit/tenant-stream-fixture.ts';
import { TenantStreamReader } from '../../../test/kit/tenant-stream-reader.ts';
import { until } from '../../../test/kit/until.ts';

const DAY_MS = 86_400_000;

describe('cursors of StreamTenantEvents', () => {
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
  const logged = async () => {
    const rows = await the.owner<{ place: string }[]>`
      select concat_ws(':', tenant_id, channel_id, seq) as place from channel_events order by xid, id
    `;
    return rows.map(({ place }) => place);
  };
  const drop = (now: number) => the.owner`select drop_old_event_partitions(1, ${now + 2 * DAY_MS})`;

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
});
