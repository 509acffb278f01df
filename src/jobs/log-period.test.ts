import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { AdminService } from '#gen/serp/discuss/v1/admin_service_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, type As, app } from '../../test/kit/app.ts';
import { moveClock } from '../../test/kit/clock.ts';
import { TenantStreamReader } from '../../test/kit/tenant-stream-reader.ts';
import { until } from '../../test/kit/until.ts';

const operator: As = { userId: 7n, tenantId: 0n, roles: ['discuss.admin'] };

describe('the period of the log', () => {
  let the: App;

  before(async () => {
    the = await app({ RETENTION_INTERVAL_MS: '0', MAINTENANCE_INTERVAL_MS: '0' });
  });
  after(() => the.close());

  const admin = () => the.client(AdminService, operator);
  const group = async (tenantId: bigint) => {
    const { channel } = await the
      .client(ChannelService, { userId: 1n, tenantId })
      .createChannel({ name: 'Kho' });
    return channel?.id ?? 0n;
  };
  const send = (tenantId: bigint, channelId: bigint) =>
    the.client(MessageService, { userId: 1n, tenantId }).sendMessage({ channelId, content: 'tin' });
  const reader = async (tenantId: bigint, from: TenantStreamReader) =>
    from.connect(the.client(EventService, { userId: 0n, tenantId, roles: ['discuss.service'] }));
  const run = async (days: number) => {
    await moveClock(the, days);
    return admin().runRetention({});
  };
  /** Those of the channels that have events in the log, by their places in the list. */
  const logged = async (channelIds: readonly bigint[]) => {
    const rows = await the.owner<{ channelId: bigint }[]>`select distinct channel_id from channel_events`;
    return channelIds.flatMap((id, place) => (rows.some(({ channelId }) => channelId === id) ? [place] : []));
  };

  it('is that of the channel, else of the tenant, else the configured one', async () => {
    const [short, other] = [1n, 2n];
    const channels = [await group(short), await group(short), await group(other)];
    const [plain = 0n, long = 0n, configured = 0n] = channels;
    await admin().setRetention({ tenantId: short, logDays: 1 });
    await admin().setRetention({ tenantId: short, channelId: long, logDays: 30 });

    assert.equal((await run(0.9)).removedEventCount, 0);
    assert.deepEqual(await logged(channels), [0, 1, 2]);
    assert.ok((await run(1.1)).removedEventCount > 0);
    assert.deepEqual(await logged(channels), [1, 2]);
    // Its day remains because of the longer period.
    await run(7.1);
    assert.deepEqual(await logged(channels), [1]);
    await run(30.1);
    assert.deepEqual(await logged(channels), []);
    assert.equal((await run(32)).droppedPartitions.length > 0, true);
    await the.owner`delete from retention_clock`;
    await the.owner`select ensure_partitions()`;

    const { rules } = await admin().listRetentionRules({ tenantId: short });
    assert.deepEqual(
      rules.map(({ channelId, logDays }) => [channelId, logDays]),
      [
        [0n, 1],
        [long, 30],
      ],
    );
    for (const [tenantId, id] of [
      [short, plain],
      [other, configured],
    ] as const)
      await send(tenantId, id);
    assert.deepEqual(await logged(channels), [0, 2]);
  });

  it('ends with RESET for the cursors of its tenant only', async () => {
    const [short, other] = [3n, 4n];
    const streams = await Promise.all(
      [short, other].map(async (tenantId) => {
        const channelId = await group(tenantId);
        const first = await reader(tenantId, new TenantStreamReader({ fromOldest: true }));
        await until(() => first.events.length > 0);
        await first.disconnect();
        await send(tenantId, channelId);
        const cursor = first.received.findLast(({ payload }) => payload.case === 'event')?.cursor;
        return { tenantId, channelId, cursor };
      }),
    );
    await admin().setRetention({ tenantId: short, logDays: 1 });
    const { removedEventCount, droppedPartitions } = await run(1.5);
    assert.ok(removedEventCount > 0);
    assert.deepEqual(droppedPartitions, [], 'nothing that concerns all tenants');
    const results = [];
    for (const { tenantId, channelId, cursor } of streams) {
      await send(tenantId, channelId);
      const resumed = await reader(tenantId, Object.assign(new TenantStreamReader(), { cursor }));
      await until(() => resumed.events.length > 0);
      results.push(resumed.count('reset'));
      await resumed.disconnect();
    }
    assert.deepEqual(results, [1, 0]);
  });

  it('sends RESET once while a transaction older than the removed events is running', async () => {
    const tenantId = 6n;
    const channelId = await group(tenantId);
    const first = await reader(tenantId, new TenantStreamReader({ fromOldest: true }));
    await until(() => first.events.length > 0);
    await first.disconnect();
    const cursor = first.received.findLast(({ payload }) => payload.case === 'event')?.cursor;
    const ended = Promise.withResolvers<void>();
    const older = Promise.withResolvers<void>();
    const transaction = the.owner.begin(async (sql) => {
      await sql`select pg_current_xact_id()`;
      older.resolve();
      await ended.promise;
    });
    await older.promise;
    await send(tenantId, channelId);
    await admin().setRetention({ tenantId, logDays: 1 });
    assert.ok((await run(1.5)).removedEventCount > 0);
    const resumed = await reader(tenantId, Object.assign(new TenantStreamReader(), { cursor }));
    await until(() => resumed.count('reset') > 0);
    // Starts at the same place as the other stream, and must be as quiet.
    const next = await reader(tenantId, new TenantStreamReader());
    await send(tenantId, channelId);
    ended.resolve();
    await transaction;
    await until(() => resumed.events.length > 0 && next.events.length > 0);
    assert.deepEqual([resumed.count('reset'), next.count('reset')], [1, 0]);
    await Promise.all([resumed.disconnect(), next.disconnect()]);
    await the.owner`delete from retention_clock`;
  });

  it('does not end for what a legal hold concerns', async () => {
    await the.owner`delete from retention_clock`;
    const tenantId = 5n;
    const channels = [await group(tenantId), await group(tenantId)];
    await admin().setRetention({ tenantId, logDays: 1 });
    const subject = { case: 'channelId', value: channels[0] ?? 0n } as const;
    await admin().placeHold({ tenantId, subject, reason: 'vụ 3' });
    await run(1.5);
    assert.deepEqual(await logged(channels), [0]);
  });
});
