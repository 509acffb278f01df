import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Code } from '@connectrpc/connect';
import { ActivityService } from '#gen/serp/discuss/v1/activity_service_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { MentionScope } from '#gen/serp/discuss/v1/message_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, type As, app } from '../../test/kit/app.ts';
import { rejects } from '../../test/kit/rejects.ts';
import { Subscriber } from '../../test/kit/stream.ts';
import { until } from '../../test/kit/until.ts';
import { createLogger } from '../telemetry/log.ts';

const FIRST = 1_000n;
const lan: As = { userId: 1n, tenantId: 1n, name: 'Lan' };
const binh: As = { userId: 1n, tenantId: 2n, name: 'Bình' };
const at = (index: number, tenantId = 1n): As => ({ userId: FIRST + BigInt(index), tenantId });

describe('mentions of a whole channel', () => {
  let the: App;

  before(async () => {
    the = await app({ MENTION_ALL_ADMIN_MAX_MEMBERS: '3000', MENTION_ALL_PER_MINUTE: '12000' });
    await the.start();
  });
  after(() => the.close());

  /** A group of an owner and `others` further members. */
  const group = async (owner: As, others: number) => {
    const { channel } = await the
      .client(ChannelService, owner)
      .createChannel({ name: 'Kho vận', private: true });
    const channelId = channel?.id ?? 0n;
    await the.owner`
      insert into channel_members (channel_id, user_id, tenant_id, joined_at, created_at, updated_at)
      select ${channelId}, ${FIRST}::bigint + n, ${owner.tenantId}, 0, 0, 0
      from generate_series(0, ${others - 1}::int) as n
    `;
    return channelId;
  };
  const send = (as: As, channelId: bigint, more: object = {}) =>
    the
      .client(MessageService, as)
      .sendMessage({ channelId, content: 'mọi người', mentionScope: MentionScope.CHANNEL, ...more });
  const countOf = async (messageId = 0n) => {
    const [row] = await the.owner<{ rows: number; users: number }[]>`
      select count(*)::int as rows, count(distinct user_id)::int as users
      from activity_feed
      where message_id = ${messageId}
    `;
    return [row?.rows, row?.users];
  };
  const untilRecorded = (messageId = 0n) =>
    until(
      async () => {
        const rows = await the.owner`select from pending_activities where message_id = ${messageId}`;
        return rows.length === 0;
      },
      'the end of recording',
      60_000,
    );
  /** Stops recording on all instances until `release` is called. */
  const pause = async () => {
    const connection = await the.owner.reserve();
    await connection`select pg_advisory_lock(hashtext('record_pending_activities'))`;
    return async () => {
      await connection`select pg_advisory_unlock(hashtext('record_pending_activities'))`;
      connection.release();
    };
  };

  it('are recorded after the response, once for each member that wants them, and signalled', async () => {
    const channelId = await group(lan, 2_500);
    await the.owner`
      update channel_members set is_muted = true where channel_id = ${channelId} and user_id = ${at(7).userId}
    `;
    const last = await new Subscriber(the.client(EventService, at(2_499), 'grpc', 1)).connect();
    const resume = await pause();
    const { message } = await send(lan, channelId, { mentionUserIds: [at(3).userId] });
    assert.deepEqual(await countOf(message?.id), [0, 0], 'the batch records none of them');
    await the.client(MemberService, at(5)).markRead({ channelId, messageId: message?.id ?? 0n });
    await resume();
    await untilRecorded(message?.id);
    assert.deepEqual(await countOf(message?.id), [2_499, 2_499]);
    const [named, read, muted] = await Promise.all(
      [3, 5, 7].map(async (index) => {
        const { activities } = await the.client(ActivityService, at(index)).listActivities({});
        return activities.map(({ read, metadata }) => [read, metadata?.['reason']]);
      }),
    );
    assert.deepEqual([named, read, muted], [[[false, 'NAMED']], [[true, 'EVERYBODY']], []]);
    await until(() => last.others.some(({ case: kind }) => kind === 'activity'), 'the signal');
    await last.disconnect();
  });

  it('are continued by another instance when one is killed', async () => {
    const channelId = await group(lan, 2_500);
    const { message } = await send(lan, channelId);
    await until(async () => {
      const [row] = await the.owner<{ afterUserId: bigint }[]>`
        select after_user_id from pending_activities where message_id = ${message?.id ?? 0n}
      `;
      return row === undefined || row.afterUserId > 0n;
    }, 'the first portion');
    const resume = await pause();
    await the.owner`
      select pg_terminate_backend(pid)
      from pg_stat_activity
      where datname = current_database() and application_name like 'discuss/test-0%'
    `;
    await resume();
    await untilRecorded(message?.id);
    assert.deepEqual(await countOf(message?.id), [2_500, 2_500]);
  });

  it('wait while their channel is locked, and those of other tenants do not', async () => {
    const [channelId, otherId] = [await group(lan, 1_000), await group(binh, 10)];
    const { message } = await send(lan, channelId);
    await untilRecorded(message?.id);
    const resume = await pause();
    const blocked = await send(lan, channelId);
    const connection = await the.owner.reserve();
    await connection`begin`;
    await connection`select from channels where id = ${channelId} for update`;
    await resume();
    const free = await send(binh, otherId);
    await untilRecorded(free.message?.id);
    assert.deepEqual(await countOf(free.message?.id), [10, 10]);
    assert.deepEqual(await countOf(blocked.message?.id), [0, 0]);
    await connection`rollback`;
    connection.release();
    await untilRecorded(blocked.message?.id);
    assert.deepEqual(await countOf(blocked.message?.id), [1_000, 1_000]);
  });

  it('are read if the member reads the message while they are recorded', async () => {
    const channelId = await group(lan, 10);
    const resume = await pause();
    const { message } = await send(lan, channelId);
    const messageId = message?.id ?? 0n;
    const connection = await the.owner.reserve();
    await connection`begin`;
    await connection`select record_message(${messageId}, 'Lan', 0, 100)`;
    await the.client(MemberService, at(1)).markRead({ channelId, messageId });
    await connection`commit`;
    connection.release();
    await the.owner`delete from pending_activities where message_id = ${messageId}`;
    await resume();
    const [reader, other] = [1, 2].map((index) => the.client(ActivityService, at(index)));
    const { activities = [] } = (await reader?.listActivities({})) ?? {};
    assert.deepEqual([activities[0]?.messageId, activities[0]?.read], [messageId, true]);
    for (const [client, unread] of [
      [reader, []],
      [other, [messageId]],
    ] as const) {
      const listed = await client?.listActivities({ unreadOnly: true });
      const ids = listed?.activities.map((activity) => activity.messageId) ?? [];
      assert.deepEqual(
        ids.filter((id) => id === messageId),
        unread,
      );
      assert.equal((await client?.getActivityCounts({}))?.unreadCount, ids.length);
    }
  });

  it('of a reply are read if the member reads the thread while they are recorded', async () => {
    const channelId = await group(lan, 10);
    const { message: root } = await send(lan, channelId, { mentionScope: MentionScope.UNSPECIFIED });
    const rootMessageId = root?.id ?? 0n;
    const [reader, other] = [1, 2].map((index) => at(index));
    for (const as of [reader, other])
      await the.client(MessageService, as ?? lan).followThread({ channelId, rootMessageId });
    const resume = await pause();
    const { message } = await send(lan, channelId, { replyToMessageId: rootMessageId });
    const messageId = message?.id ?? 0n;
    const connection = await the.owner.reserve();
    await connection`begin`;
    await connection`select record_message(${messageId}, 'Lan', 0, 100)`;
    await the.client(MessageService, reader ?? lan).markThreadRead({ channelId, rootMessageId, messageId });
    await connection`commit`;
    connection.release();
    await the.owner`delete from pending_activities where message_id = ${messageId}`;
    await resume();
    const isRead = async (as: As = lan) => {
      const client = the.client(ActivityService, as);
      const listed = (await client.listActivities({})).activities.find(
        (activity) => activity.messageId === messageId,
      );
      const unread = (await client.listActivities({ unreadOnly: true })).activities;
      assert.equal((await client.getActivityCounts({})).unreadCount, unread.length);
      assert.equal(
        unread.some((activity) => activity.messageId === messageId),
        listed?.read === false,
      );
      return listed?.read;
    };
    assert.deepEqual([await isRead(reader), await isRead(other)], [true, false]);
  });

  it('are ignored in channels above the hard limit, for owners too', async () => {
    const { mentionScopeIgnored, message } = await send(lan, await group(lan, 3_000));
    assert.deepEqual([mentionScopeIgnored, message?.mentionScope], [true, MentionScope.UNSPECIFIED]);
  });

  it('are limited per tenant', async () => {
    const [channelId, otherId] = [await group(lan, 2_900), await group(binh, 10)];
    const sends = Array.from({ length: 5 }, () => send(lan, channelId).then(({ message }) => message));
    const results = await Promise.allSettled(sends);
    const failed = results.flatMap(({ status }, index) => (status === 'rejected' ? [sends[index]] : []));
    assert.ok(failed.length > 0);
    for (const call of failed)
      await rejects(call ?? Promise.resolve(), Code.ResourceExhausted, 'RATE_LIMITED');
    await send(binh, otherId);
    await send(lan, channelId, { mentionScope: MentionScope.HERE });
  });

  it('and replies in threads of many followers cost the batch a bounded number of activities', async () => {
    const channelId = await group(lan, 250);
    const { message: root } = await send(lan, channelId, { mentionScope: MentionScope.UNSPECIFIED });
    await the.owner`
      insert into thread_followers (tenant_id, root_id, user_id, channel_id)
      select tenant_id, ${root?.id ?? 0n}, user_id, channel_id from channel_members where channel_id = ${channelId}
    `;
    const resume = await pause();
    const { message } = await send(lan, channelId, {
      mentionScope: MentionScope.UNSPECIFIED,
      replyToMessageId: root?.id,
    });
    assert.ok(((await countOf(message?.id))[0] ?? 0) <= 100);
    await resume();
    await untilRecorded(message?.id);
    assert.deepEqual(await countOf(message?.id), [250, 250]);
  });
});

describe('a message whose activities always fail', () => {
  let the: App;
  const errorLines: string[] = [];

  // Only the second instance records.
  before(async () => {
    the = await app({ ACTIVITY_PENDING_INTERVAL_MS: '3600000' });
    const log = createLogger('error', { write: (line) => void errorLines.push(line) });
    await the.start({ ACTIVITY_PENDING_INTERVAL_MS: '20' }, log);
  });
  after(() => the.close());

  it('does not delay later ones of its tenant, and is given up, logged once and kept', async () => {
    const { channel } = await the
      .client(ChannelService, lan)
      .createChannel({ name: 'Kho', memberUserIds: [at(1).userId] });
    const channelId = channel?.id ?? 0n;
    const send = async () => {
      const { message } = await the
        .client(MessageService, lan, 'grpc', 1)
        .sendMessage({ channelId, content: 'mọi người', mentionScope: MentionScope.CHANNEL });
      return message?.id ?? 0n;
    };
    const pending = async (messageId: bigint) => {
      const [row] = await the.owner<{ attempts: number; lastError: string; isParked: boolean }[]>`
        select attempts, last_error, parked_at is not null as is_parked
        from pending_activities
        where message_id = ${messageId}
      `;
      return row;
    };
    await the.owner`
      alter table activity_feed add constraint poison check (action_type != 'MENTION_RECEIVED') not valid
    `;
    const poison = await send();
    await until(async () => (await pending(poison))?.attempts === 1, 'the first failure');
    await the.owner`alter table activity_feed drop constraint poison`;
    await the.owner.unsafe(
      `alter table activity_feed add constraint poison check (message_id is distinct from ${poison}) not valid`,
    );
    const later = await send();
    await until(async () => (await pending(later)) === undefined, 'the later message');
    await until(async () => {
      // Shortens the delays.
      await the.owner`update pending_activities set due_at = 0`;
      return (await pending(poison))?.isParked === true;
    }, 'the end of the attempts');
    const row = await pending(poison);
    assert.deepEqual([row?.attempts, row?.lastError.slice(0, 5)], [8, '23514']);
    await send();
    const metric = the.instances[1]?.deps.metrics.activitiesParked;
    assert.deepEqual((await metric?.get())?.values[0]?.value, 1);
    assert.equal(errorLines.length, 1);
    assert.match(errorLines[0] ?? '', new RegExp(`"message":"?${poison}\\b`));
    await the.owner`alter table activity_feed drop constraint poison`;
    await the.owner`update pending_activities set parked_at = null, attempts = 0, due_at = 0`;
    await until(async () => (await pending(poison)) === undefined, 'the message after the repair');
    const { activities } = await the.client(ActivityService, at(1)).listActivities({});
    assert.ok(activities.some(({ messageId }) => messageId === poison));
  });
});
