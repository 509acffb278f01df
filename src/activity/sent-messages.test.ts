import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Code } from '@connectrpc/connect';
import { ActivityService } from '#gen/serp/discuss/v1/activity_service_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { NotificationLevel as Level } from '#gen/serp/discuss/v1/member_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { MentionScope } from '#gen/serp/discuss/v1/message_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { feedOf } from '../../test/kit/activity-feed.ts';
import { type App, type As, app } from '../../test/kit/app.ts';
import { rejects } from '../../test/kit/rejects.ts';
import { Subscriber } from '../../test/kit/stream.ts';
import { until } from '../../test/kit/until.ts';

const MAX_MEMBERS = 5;
const crm = { userId: 0n, tenantId: 1n, roles: ['discuss.service'] };

describe('messages of members with the notification level ALL', () => {
  let the: App;
  let users = 100n;

  before(async () => {
    the = await app({ ACTIVITY_MESSAGES_MAX_MEMBERS: `${MAX_MEMBERS}`, ACTIVITY_PENDING_INTERVAL_MS: '20' });
    await the.start();
    await untilRecorded();
  });
  after(() => the.close());

  const someone = (name: string): As => {
    users += 1n;
    return { userId: users, tenantId: 1n, name };
  };
  const members = (as: As) => the.client(MemberService, as);
  const messages = (as: As) => the.client(MessageService, as);
  /** A private group, whose additions are not in the feeds. */
  const group = async (lan: As, ...others: As[]) => {
    const memberUserIds = others.map(({ userId }) => userId);
    const { channel } = await the
      .client(ChannelService, lan)
      .createChannel({ name: 'Kho vận', private: true, memberUserIds });
    const channelId = channel?.id ?? 0n;
    await the.owner`delete from activity_feed where channel_id = ${channelId}`;
    return channelId;
  };
  const setLevel = (as: As, channelId: bigint, notificationLevel: Level) =>
    members(as).updateMembership({
      channelId,
      notificationLevel,
      updateMask: { paths: ['notification_level'] },
    });
  const send = async (as: As, channelId: bigint, content = 'tin', more: object = {}) => {
    const { message } = await messages(as).sendMessage({ channelId, content, ...more });
    return message?.id ?? 0n;
  };
  /** Until the log, up to now, is processed. */
  const untilRecorded = async () => {
    const [row] = await the.owner<
      { end: string }[]
    >`select pg_snapshot_xmax(pg_current_snapshot())::text as end`;
    await until(async () => {
      const missing = await the.owner`
        select
        from event_log_state s
        where s.activities_xid is null
          or exists (
            select from channel_events e where e.xid >= s.activities_xid and e.xid < ${row?.end ?? ''}::text::xid8
          )
      `;
      const pending = await the.owner`select from pending_activities`;
      return missing.length === 0 && pending.length === 0;
    }, 'the end of recording');
  };
  const list = async (as: As) => {
    await untilRecorded();
    const { activities } = await the.client(ActivityService, as).listActivities({});
    return activities;
  };
  const shown = async (as: As) => (await list(as)).map(({ type, count, read }) => [type, count, read]);

  it('are one activity per channel until they are read, with the newest message', async () => {
    const [lan, minh, thu] = [someone('Lan'), someone('Minh'), someone('Thu')];
    const channelId = await group(lan, minh, thu);
    await setLevel(minh, channelId, Level.ALL);
    const stream = await new Subscriber(the.client(EventService, minh, 'grpc', 1)).connect();
    await send(lan, channelId, 'một');
    await send(minh, channelId, 'của Minh');
    assert.deepEqual(await shown(minh), [['MESSAGE_SENT', 1, false]]);
    await send(thu, channelId, 'hai');
    const last = await send(lan, channelId, 'ba');
    const [activity] = await list(minh);
    assert.deepEqual(
      [activity?.count, activity?.actorId, activity?.messageId, activity?.preview, activity?.description],
      [3, lan.userId, last, 'ba', 'There are new messages in Kho vận'],
    );
    await until(() => feedOf(stream)[0]?.count === 3, 'the signal');
    assert.deepEqual(await shown(thu), [], 'a member who has the level by default');
    await members(minh).markRead({ channelId, messageId: last });
    assert.deepEqual(await shown(minh), [['MESSAGE_SENT', 3, true]]);
    await send(lan, channelId, 'bốn');
    assert.deepEqual(await shown(minh), [
      ['MESSAGE_SENT', 1, false],
      ['MESSAGE_SENT', 3, true],
    ]);
    await stream.disconnect();
  });

  it('are not recorded twice: as mentions, replies or for other settings', async () => {
    const [lan, minh] = [someone('Lan'), someone('Minh')];
    const channelId = await group(lan, minh);
    await setLevel(minh, channelId, Level.ALL);
    const root = await send(minh, channelId, 'gốc');
    await send(lan, channelId, 'xem', { mentionUserIds: [minh.userId] });
    await send(lan, channelId, 'trả lời', { replyToMessageId: root });
    await send(lan, channelId, 'mọi người', { mentionScope: MentionScope.CHANNEL });
    const types = (await list(minh)).map(({ type }) => type);
    assert.deepEqual(types, ['MENTION_RECEIVED', 'REPLY_RECEIVED', 'MENTION_RECEIVED']);
    for (const level of [Level.MENTIONS, Level.NONE]) {
      await setLevel(minh, channelId, level);
      await send(lan, channelId);
      // The settings at the time of recording count.
      await untilRecorded();
    }
    await setLevel(minh, channelId, Level.ALL);
    await members(minh).updateMembership({ channelId, muted: true, updateMask: { paths: ['muted'] } });
    await send(lan, channelId);
    assert.equal((await list(minh)).length, 3);
  });

  it('are not recorded in channels above the limit, nor after the member read them or left', async () => {
    const [lan, minh, thu] = [someone('Lan'), someone('Minh'), someone('Thu')];
    const large = await group(lan, minh, ...Array.from({ length: MAX_MEMBERS }, () => someone('')));
    await setLevel(minh, large, Level.ALL);
    await send(lan, large);
    const channelId = await group(lan, minh, thu);
    await setLevel(minh, channelId, Level.ALL);
    await setLevel(thu, channelId, Level.ALL);
    // Holds the position of the log back.
    const connection = await the.owner.reserve();
    await connection`begin`;
    await connection`select pg_current_xact_id()`;
    const messageId = await send(lan, channelId);
    await members(minh).markRead({ channelId, messageId });
    await members(thu).leaveChannel({ channelId });
    await connection`commit`;
    connection.release();
    assert.deepEqual(await shown(minh), []);
    assert.deepEqual(await shown(thu), []);
  });

  it('are counted once each while four members send, read and instances share the work', async () => {
    const people = ['Lan', 'Minh', 'Thu', 'Hoa'].map(someone);
    const [lan, minh] = people;
    assert.ok(lan && minh);
    const channelId = await group(lan, ...people.slice(1));
    await setLevel(minh, channelId, Level.ALL);
    await Promise.all(
      people.map(async (as) => {
        for (let nth = 0; nth < 10; nth += 1) await send(as, channelId);
      }),
    );
    const activities = await list(minh);
    assert.deepEqual(
      activities.map(({ count }) => count),
      [30],
    );
  });

  it('of a transaction that always fails are skipped, and others are recorded', async () => {
    const [lan, minh] = [someone('Lan'), someone('Minh')];
    const channels = [await group(lan, minh), await group(lan, minh), await group(lan, minh)];
    for (const channelId of channels) await setLevel(minh, channelId, Level.ALL);
    const [first = 0n, poisoned = 0n, last = 0n] = channels;
    await the.owner.unsafe(
      `alter table activity_feed add constraint poison check (channel_id is distinct from ${poisoned}) not valid`,
    );
    for (const channelId of [first, poisoned, last]) await send(lan, channelId);
    const recorded = (await list(minh)).map(({ channelId }) => channelId);
    assert.deepEqual(recorded, [last, first]);
    const counts = await Promise.all(
      the.instances.map(({ deps }) =>
        deps.metrics.activitiesParked.get().then(({ values }) => values[0]?.value ?? 0),
      ),
    );
    assert.equal(
      counts.reduce((sum, count) => sum + count, 0),
      1,
    );
    await the.owner`alter table activity_feed drop constraint poison`;
  });

  it('have a collapse key that services cannot use', async () => {
    const activity = {
      userIds: [1n],
      type: 'TASK_ASSIGNED',
      entity: { type: 'task', id: 7n },
      description: 'x',
      collapseKey: 'messages:1',
    };
    await rejects(
      the.client(ActivityService, crm).recordActivities({ activities: [activity] }),
      Code.InvalidArgument,
      'FIELD_INVALID',
    );
  });
});
