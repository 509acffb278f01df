import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { ActivityService } from '#gen/serp/discuss/v1/activity_service_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, type As, app } from '../../test/kit/app.ts';
import { assertNothingToRepair } from '../../test/kit/reconcile.ts';
import { Subscriber } from '../../test/kit/stream.ts';
import { until } from '../../test/kit/until.ts';

const lan: As = { userId: 1n, tenantId: 1n };
const minh: As = { userId: 2n, tenantId: 1n };
const DAY_MS = 86_400_000;

describe('retention', () => {
  let the: App;

  before(async () => {
    the = await app({ RETENTION_INTERVAL_MS: '100', MAINTENANCE_INTERVAL_MS: '100' });
    await the.start();
  });
  after(() => the.close());

  const messages = (as = lan) => the.client(MessageService, as);

  async function group(name = 'Kho'): Promise<bigint> {
    const { channel } = await the.client(ChannelService, lan).createChannel({ name, memberUserIds: [2n] });
    return channel?.id ?? 0n;
  }

  async function send(channelId: bigint, content: string, replyToMessageId = 0n): Promise<bigint> {
    const { message } = await messages().sendMessage({
      channelId,
      content,
      replyToMessageId,
      mentionUserIds: [2n],
    });
    return message?.id ?? 0n;
  }

  /** Deletes messages, as if that many days ago. */
  async function remove(channelId: bigint, days: number, ...messageIds: bigint[]): Promise<void> {
    for (const messageId of messageIds) await messages().deleteMessage({ channelId, messageId });
    await the.owner`
      update messages set deleted_at = ${Date.now() - days * DAY_MS} where id = any(${messageIds.map(String)}::bigint[])
    `;
  }

  const ids = async (channelId: bigint) => {
    const { messages: found } = await messages().listMessages({ channelId });
    return found.map(({ id }) => id);
  };
  const unread = async (channelId: bigint) => {
    const { entries } = await the.client(MemberService, minh).getUnreadSummary({});
    return entries.find((channel) => channel.channelId === channelId)?.unreadCount ?? 0;
  };

  it('reports the sizes of tables, partitions and its last run as metrics', async () => {
    const [instance] = the.instances;
    assert.ok(instance !== undefined);
    const metric = async (name: string) => {
      const text = await (await fetch(`http://${instance.metricsAddress}/metrics`)).text();
      return Number(
        text
          .split('\n')
          .find((line) => line.startsWith(`${name} `))
          ?.split(' ')[1],
      );
    };
    await until(async () => (await metric('discuss_retention_age_seconds')) > 0, 'a run of retention');
    assert.ok((await metric('discuss_table_bytes{table="channel_members"}')) > 0);
    for (const [table, ahead] of Object.entries({
      messages: 2,
      message_words: 2,
      channel_events: 7,
      activity_feed: 2,
    })) {
      assert.ok((await metric(`discuss_table_bytes{table="${table}"}`)) > 0, table);
      assert.equal(await metric(`discuss_default_partition_rows{table="${table}"}`), 0, table);
      assert.ok((await metric(`discuss_partitions_ahead{table="${table}"}`)) >= ahead - 1, table);
    }
  });

  it('removes messages 90 days after their deletion, without changing unread counts', async () => {
    const channelId = await group();
    const [kept, late, gone] = [
      await send(channelId, 'còn'),
      await send(channelId, 'mới xoá'),
      await send(channelId, 'xoá lâu'),
    ];
    await remove(channelId, 89, late);
    const before = await unread(channelId);
    await remove(channelId, 91, gone);
    await until(async () => !(await ids(channelId)).includes(gone));
    assert.deepEqual((await ids(channelId)).slice(-2), [kept, late]);
    assert.equal(await unread(channelId), before - 1);
    await assertNothingToRepair(the);
  });

  it('keeps the first message of a thread as long as its replies', async () => {
    const channelId = await group();
    const root = await send(channelId, 'gốc');
    const reply = await send(channelId, 'trả lời', root);
    const canary = await send(channelId, 'xong');
    await remove(channelId, 91, root, canary);
    await until(async () => !(await ids(channelId)).includes(canary));
    const { replies } = await messages().listThread({ channelId, rootMessageId: root });
    assert.deepEqual(
      replies.map(({ id, rootMessageId }) => [id, rootMessageId]),
      [[reply, root]],
    );
    await remove(channelId, 91, reply);
    await until(async () => (await ids(channelId)).every((id) => id !== root && id !== reply));
  });

  it('removes activities after 365 days', async () => {
    const channelId = await group();
    await send(channelId, 'cũ');
    await send(channelId, 'mới');
    const list = async () => (await the.client(ActivityService, minh).listActivities({})).activities;
    const [newer, older] = (await list()).filter((activity) => activity.channelId === channelId);
    await the.owner`
      update activity_feed set "timestamp" = ${Date.now() - 366 * DAY_MS} where id = ${older?.id ?? 0n}
    `;
    await until(async () => {
      const [row] = await the.owner<{ n: number }[]>`
        select count(*)::int as n from activity_feed where id = ${older?.id ?? 0n}
      `;
      return row?.n === 0;
    });
    assert.ok((await list()).some(({ id }) => id === newer?.id));
  });

  it('archives groups without activity for 180 days once, with event and notice', async () => {
    const [quiet, busy] = [await group('Vắng'), await group('Đông')];
    const subscriber = await new Subscriber(the.client(EventService, minh, 'grpc', 1), [quiet]).connect();
    const past = Date.now() - 181 * DAY_MS;
    await send(busy, 'vẫn còn đây');
    await the.owner`update channels set created_at = ${past}, updated_at = ${past} where id in (${quiet}, ${busy})`;
    await until(() => subscriber.events.some(({ change }) => change.case === 'channelChanged'));
    await until(() => subscriber.events.some(({ change }) => change.case === 'messageCreated'));
    const get = async (channelId: bigint) =>
      (await the.client(ChannelService, lan).getChannel({ channelId })).channel;
    assert.equal((await get(quiet))?.archived, true);
    assert.equal((await get(busy))?.archived, false);
    await the.client(ChannelService, lan).unarchiveChannel({ channelId: quiet });
    const other = await group('Khác');
    await the.owner`update channels set created_at = ${past}, updated_at = ${past} where id = ${other}`;
    await until(async () => (await get(other))?.archived === true);
    assert.equal((await get(quiet))?.archived, false, 'unarchiving a group counts as use');
    assert.equal(subscriber.events.filter(({ change }) => change.case === 'channelChanged').length, 2);
    await subscriber.disconnect();
  });

  it('removes deleted channels with their content after 90 days', async () => {
    const channelId = await group();
    const root = await send(channelId, 'gốc');
    await send(channelId, 'trả lời', root);
    await the.client(ChannelService, lan).deleteChannel({ channelId });
    await the.owner`update channels set deleted_at = ${Date.now() - 91 * DAY_MS} where id = ${channelId}`;
    await until(async () => {
      const [row] = await the.owner<{ n: number }[]>`
        select (select count(*) from channels where id = ${channelId})::int
          + (select count(*) from messages where channel_id = ${channelId})::int
          + (select count(*) from channel_members where channel_id = ${channelId})::int as n
      `;
      return row?.n === 0;
    });
  });

  it('uses the clock of the database, not that of the instance', async (t) => {
    const [used, quiet, later] = [await group('Đang dùng'), await group('Vắng 1'), await group('Vắng 2')];
    const kept = await send(used, 'xoá hôm nay');
    await remove(used, 1, kept);
    const [start, past] = [Date.now(), Date.now() - 181 * DAY_MS];
    const age = (channelId: bigint) =>
      the.owner`update channels set created_at = ${past}, updated_at = ${past} where id = ${channelId}`;
    const count = async (hours: number) => {
      const rows = await the.owner`
        select from idempotency_keys where created_at = ${start - hours * 3_600_000}
      `;
      return rows.length;
    };
    t.mock.timers.enable({ apis: ['Date'], now: start + 366 * DAY_MS });
    await the.owner`
      insert into idempotency_keys (tenant_id, user_id, request_id, method, payload_hash, created_at)
      select 1, 1, gen_random_uuid(), 'X', '', ${start}::bigint - h * 3600000 from unnest('{47,49}'::bigint[]) as h
    `;
    await until(async () => (await count(49)) === 0);
    // The archive of the second group is in a later run than that of the first.
    for (const channelId of [quiet, later]) {
      await age(channelId);
      await until(async () => {
        const [row] = await the.owner`select is_archived from channels where id = ${channelId}`;
        return row?.['isArchived'] === true;
      });
    }
    t.mock.timers.reset();
    assert.equal(await count(47), 1);
    assert.ok((await ids(used)).includes(kept));
    const { channel } = await the.client(ChannelService, lan).getChannel({ channelId: used });
    assert.equal(channel?.archived, false);
  });
});
