import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Code } from '@connectrpc/connect';
import { AdminService } from '#gen/serp/discuss/v1/admin_service_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, type As, app } from '../../test/kit/app.ts';
import { rejects } from '../../test/kit/rejects.ts';

const operator: As = { userId: 7n, tenantId: 0n, roles: ['discuss.admin'] };
const DAY_MS = 86_400_000n;

describe('rules and runs of retention', () => {
  let the: App;
  let lastTenant = 100n;

  before(async () => {
    the = await app({ RETENTION_INTERVAL_MS: '0', MAINTENANCE_INTERVAL_MS: '0' });
    await the.start();
  });
  after(() => the.close());

  const admin = (instance = 0) => the.client(AdminService, operator, 'grpc', instance);
  const someone = (): As => {
    lastTenant += 1n;
    return { userId: 1n, tenantId: lastTenant };
  };
  const group = async (as: As) => {
    const { channel } = await the.client(ChannelService, as).createChannel({ name: 'Kho' });
    return channel?.id ?? 0n;
  };
  /** A message that was deleted that many days ago. */
  const deleted = async (as: As, channelId: bigint, days: number) => {
    const messages = the.client(MessageService, as);
    const { message } = await messages.sendMessage({ channelId, content: 'x' });
    const messageId = message?.id ?? 0n;
    await messages.deleteMessage({ channelId, messageId });
    await the.owner`update messages set deleted_at = now_ms() - ${BigInt(days) * DAY_MS} where id = ${messageId}`;
    return messageId;
  };
  const activity = async ({ tenantId }: As, channelId: bigint, days: number) => {
    const [row] = await the.owner<{ id: bigint }[]>`
      insert into activity_feed
        (tenant_id, user_id, action_type, actor_id, channel_id, description, "timestamp", created_at)
      values (${tenantId}, 1, 'X', 2, ${channelId}, 'x', now_ms() - ${BigInt(days) * DAY_MS}, 1)
      returning id
    `;
    return row?.id ?? 0n;
  };
  const left = async (table: string, ids: readonly bigint[]) => {
    const rows = await the.owner<{ id: bigint }[]>`
      select id from ${the.owner(table)} where id = any(${ids.map(String)}::bigint[]) order by id
    `;
    return ids.filter((id) => rows.some((row) => row.id === id)).map((id) => ids.indexOf(id));
  };
  const age = (channelId: bigint, days: number) => the.owner`
    update channels
    set created_at = now_ms() - ${BigInt(days) * DAY_MS}, updated_at = now_ms() - ${BigInt(days) * DAY_MS}
    where id = ${channelId}
  `;
  const archived = async (ids: readonly bigint[]) => {
    const rows = await the.owner<{ id: bigint }[]>`
      select id from channels where id = any(${ids.map(String)}::bigint[]) and is_archived
    `;
    return ids.filter((id) => rows.some((row) => row.id === id)).map((id) => ids.indexOf(id));
  };

  it('of a channel apply before those of its tenant, and these before the configured ones', async () => {
    const [lan, minh] = [someone(), someone()];
    const { tenantId } = lan;
    const [plain, never, long] = [await group(lan), await group(lan), await group(lan)];
    const other = await group(minh);
    await admin().setRetention({ tenantId, deletedDays: 10, activityDays: 20, inactiveDays: 30 });
    await admin().setRetention({
      tenantId,
      channelId: never,
      deletedDays: 0,
      activityDays: 0,
      inactiveDays: 0,
    });
    await admin().setRetention({ tenantId, channelId: long, deletedDays: 400, inactiveDays: 400 });
    const messages = [
      await deleted(lan, plain, 11),
      await deleted(lan, plain, 9),
      await deleted(lan, never, 3_000),
      await deleted(lan, long, 399),
      await deleted(minh, other, 89),
      await deleted(minh, other, 91),
    ];
    const activities = [
      await activity(lan, plain, 21),
      await activity(lan, plain, 19),
      await activity(lan, never, 3_000),
      // The rule of the channel has no period of activities, so that of the tenant applies.
      await activity(lan, long, 21),
      await activity(minh, other, 364),
      await activity(minh, other, 366),
    ];
    await admin().runRetention({});
    assert.deepEqual(await left('messages', messages), [1, 2, 3, 4]);
    assert.deepEqual(await left('activity_feed', activities), [1, 2, 4]);
    await age(plain, 31);
    await age(never, 3_000);
    await age(long, 399);
    await age(other, 179);
    const late = await group(minh);
    await age(late, 181);
    await the.owner`update channels set last_message_at = null where id in (${plain}, ${never}, ${long}, ${other})`;
    await admin(1).runRetention({});
    assert.deepEqual(await archived([plain, never, long, other, late]), [0, 4]);
  });

  it('archive an inactive group in the run that removes its deleted messages', async () => {
    const lan = someone();
    const channelId = await group(lan);
    const messageId = await deleted(lan, channelId, 91);
    await age(channelId, 181);
    await the.owner`update channels set last_message_at = created_at where id = ${channelId}`;
    await admin().runRetention({});
    assert.deepEqual([await left('messages', [messageId]), await archived([channelId])], [[], [0]]);
  });

  it('also apply to deleted channels', async () => {
    const lan = someone();
    const ids = [await group(lan), await group(lan)];
    const [quick = 0n, kept = 0n] = ids;
    await admin().setRetention({ tenantId: lan.tenantId, channelId: quick, deletedDays: 1 });
    for (const channelId of ids) {
      await deleted(lan, channelId, 0);
      await the.client(ChannelService, lan).deleteChannel({ channelId });
      await the.owner`update channels set deleted_at = now_ms() - ${2n * DAY_MS} where id = ${channelId}`;
    }
    const { removedChannelRowCount } = await admin().runRetention({});
    assert.equal(removedChannelRowCount, 2);
    assert.deepEqual(await left('channels', [quick, kept]), [1]);
  });

  it('are replaced, listed and removed', async () => {
    const { tenantId } = someone();
    const set = (channelId: bigint, days: object) => admin().setRetention({ tenantId, channelId, ...days });
    const list = async () => {
      const first = await admin(1).listRetentionRules({ tenantId, pageSize: 1 });
      const { nextPageToken: pageToken } = first;
      const rest =
        pageToken === ''
          ? []
          : (await admin().listRetentionRules({ tenantId, pageSize: 1, pageToken })).rules;
      return [...first.rules, ...rest].map((rule) => [
        rule.channelId,
        rule.deletedDays,
        rule.activityDays,
        rule.inactiveDays,
      ]);
    };
    await set(5n, { deletedDays: 3, activityDays: 4 });
    await set(0n, { inactiveDays: 0 });
    assert.deepEqual(await list(), [
      [0n, undefined, undefined, 0],
      [5n, 3, 4, undefined],
    ]);
    await set(5n, { activityDays: 9 });
    await set(0n, {});
    assert.deepEqual(await list(), [[5n, undefined, 9, undefined]]);
    await rejects(set(5n, { deletedDays: -1 }), Code.InvalidArgument, 'FIELD_INVALID');
    await rejects(set(5n, { deletedDays: 36_501 }), Code.InvalidArgument, 'FIELD_INVALID');
    // There is no store here.
    await rejects(set(5n, { exportDays: 30 }), Code.Unavailable, 'STORAGE_UNAVAILABLE');
  });

  it('can be tried without any change, with the counts of the run', async () => {
    const lan = someone();
    const channelId = await group(lan);
    const gone = await group(lan);
    const messages = [
      await deleted(lan, channelId, 91),
      await deleted(lan, channelId, 92),
      await deleted(lan, gone, 1),
    ];
    await the.client(ChannelService, lan).deleteChannel({ channelId: gone });
    await the.owner`update channels set deleted_at = now_ms() - ${91n * DAY_MS} where id = ${gone}`;
    const activities = [await activity(lan, channelId, 400)];
    const quiet = await group(lan);
    await age(quiet, 200);
    const runs = (await admin().listRetentionRuns({})).runs.length;
    const tried = await admin().runRetention({ validateOnly: true });
    assert.deepEqual(
      [
        tried.removedMessageCount,
        tried.removedChannelRowCount,
        tried.removedActivityCount,
        tried.archivedChannelCount,
      ],
      [2, 2, 1, 1],
    );
    assert.deepEqual(await left('messages', messages), [0, 1, 2]);
    assert.deepEqual(await left('activity_feed', activities), [0]);
    assert.deepEqual(await archived([quiet]), []);
    assert.equal((await admin().listRetentionRuns({})).runs.length, runs);
    const { droppedPartitions, prunedRequestIdCount, ...made } = await admin().runRetention({});
    assert.deepEqual(
      { ...made, droppedPartitions, prunedRequestIdCount },
      {
        ...tried,
        droppedPartitions,
        prunedRequestIdCount,
      },
    );
    const { runs: recorded } = await admin().listRetentionRuns({});
    const [run] = recorded;
    assert.equal(recorded.length, runs + 1);
    assert.deepEqual(
      [run?.instanceId, run?.attemptCount, run?.removedMessageCount, run?.removedChannelRowCount],
      ['test-0', 1, 2n, 2n],
    );
    assert.deepEqual([run?.removedActivityCount, run?.archivedChannelCount], [1n, 1n]);
    assert.ok((run?.endTime?.seconds ?? 0n) >= (run?.startTime?.seconds ?? 1n));
  });

  it('run on one instance at a time, and another one resumes the run of an instance that ended', async () => {
    const lan = someone();
    const channelId = await group(lan);
    const messageId = await deleted(lan, channelId, 91);
    const [begun] = await the.owner<{ runId: bigint; attempt: number }[]>`
      select run_id, attempt from begin_retention_run('killed', 600000)
    `;
    const { runId = 0n, attempt = 0 } = begun ?? {};
    await the.owner`
      select advance_retention_run(${runId}, ${attempt}, 'messages', 5, 600000)
    `;
    const busy = await Promise.all([0, 1].map((instance) => admin(instance).runRetention({})));
    assert.deepEqual(
      busy.map(({ alreadyRunning, removedMessageCount }) => [alreadyRunning, removedMessageCount]),
      [
        [true, 0],
        [true, 0],
      ],
    );
    assert.deepEqual(await left('messages', [messageId]), [0]);
    await the.owner`update retention_runs set lease_until = now_ms() - 1 where id = ${runId}`;
    const resumed = await admin(1).runRetention({});
    assert.deepEqual([resumed.alreadyRunning, resumed.removedMessageCount], [false, 1]);
    const [run] = (await admin().listRetentionRuns({ pageSize: 1 })).runs;
    assert.deepEqual(
      [run?.id, run?.attemptCount, run?.instanceId, run?.removedMessageCount],
      [runId, 2, 'test-1', 6n],
    );
    // The instance that was thought to have ended continues.
    const late = the.owner`select advance_retention_run(${runId}, ${attempt}, 'messages', 5, 600000)`;
    await assert.rejects(late, { code: '40001' });
  });
});
