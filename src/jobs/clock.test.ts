import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import postgres from 'postgres';
import { ActivityService } from '#gen/serp/discuss/v1/activity_service_pb.ts';
import { AdminService } from '#gen/serp/discuss/v1/admin_service_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, type As, app } from '../../test/kit/app.ts';
import { moveClock } from '../../test/kit/clock.ts';
import { until } from '../../test/kit/until.ts';

const tenantId = 1n;
const ana: As = { userId: 1n, tenantId };
const crm: As = { userId: 0n, tenantId, roles: ['discuss.service'] };
const operator: As = { userId: 7n, tenantId: 0n, roles: ['discuss.admin'] };

describe('everything that expires', () => {
  let the: App;

  before(async () => {
    the = await app({ RETENTION_INTERVAL_MS: '0', MAINTENANCE_INTERVAL_MS: '0', OPERATION_POLL_MS: '50' });
  });
  after(() => the.close());

  const admin = () => the.client(AdminService, operator);
  const group = async (name: string) =>
    (await the.client(ChannelService, ana).createChannel({ name })).channel?.id ?? 0n;
  const exists = async (query: postgres.PendingQuery<postgres.Row[]>) => (await query).length > 0;

  it('expires at its time by a clock that the test moves, and not before', async () => {
    const { owner } = the;
    const [used, deleted, quiet] = [await group('Kho'), await group('Bỏ'), await group('Vắng')];
    const { message } = await the.client(MessageService, ana).sendMessage({ channelId: used, content: 'x' });
    const messageId = message?.id ?? 0n;
    await the.client(MessageService, ana).deleteMessage({ channelId: used, messageId });
    await the.client(ChannelService, ana).deleteChannel({ channelId: deleted });
    await the.client(ActivityService, crm).recordActivities({
      activities: [{ userIds: [1n], type: 'TASK', channelId: used, description: 'x' }],
    });
    const { operation } = await admin().eraseUser({ tenantId, userId: 99n });
    const operationId = operation?.id ?? 0n;
    await until(async () => (await admin().getOperation({ tenantId, operationId })).operation?.done === true);

    const rules: readonly [days: number, end: number, ...rows: (() => Promise<boolean>)[]][] = [
      [2, 2, () => exists(owner`select from idempotency_keys where method = 'CreateChannel'`)],
      // Days of the log are dropped as a whole.
      [7, 8, () => exists(owner`select from channel_events where channel_id = ${used}`)],
      [30, 30, () => exists(owner`select from operations where id = ${operationId}`)],
      [
        90,
        90,
        () => exists(owner`select from messages where id = ${messageId}`),
        () => exists(owner`select from channels where id = ${deleted}`),
      ],
      [180, 180, () => exists(owner`select from channels where id = ${quiet} and not is_archived`)],
      [365, 365, () => exists(owner`select from activity_feed where channel_id = ${used}`)],
    ];
    for (const [days, end, ...rows] of rules) {
      await moveClock(the, days - 0.1);
      await admin().runRetention({});
      for (const isThere of rows)
        assert.equal(await isThere(), true, `${days} days are not over: ${isThere}`);
      await moveClock(the, end + 0.1);
      for (const isThere of rows)
        await until(async () => {
          await admin().runRetention({});
          return !(await isThere());
        }, `${days} days are over: ${isThere}`);
    }
  });

  it('follows a clock that the service cannot move', async () => {
    const service = postgres(the.database.serviceUrl, { max: 1, onnotice() {} });
    try {
      const move = service`insert into retention_clock (offset_ms) values (1)`;
      await assert.rejects(move, { code: '42501' });
      await assert.rejects(service`update retention_clock set offset_ms = 1`, { code: '42501' });
    } finally {
      await service.end();
    }
  });
});
