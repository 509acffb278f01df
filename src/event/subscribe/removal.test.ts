import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { ServerService } from '#gen/serp/discuss/v1/server_service_pb.ts';
import { type App, type As, app } from '../../../test/kit/app.ts';
import { untilLocksAreAwaited } from '../../../test/kit/locks.ts';
import { Subscriber } from '../../../test/kit/stream.ts';
import { until } from '../../../test/kit/until.ts';
import { peekEvent } from '../log/wire.ts';

const LOCKED = 4;
const owner: As = { userId: 1n, tenantId: 1n };
const reader: As = { userId: 2n, tenantId: 1n };

describe('a removed member', () => {
  let the: App;

  before(async () => {
    the = await app({ DATABASE_CONNECTIONS: '1' });
    await the.start();
  });
  after(() => the.close());

  const group = async (memberUserIds: bigint[] = []) => {
    const { channel } = await the
      .client(ChannelService, owner, 'grpc', 1)
      .createChannel({ name: 'Kho', private: true, memberUserIds });
    return channel?.id ?? 0n;
  };
  const members = () => the.client(MemberService, owner, 'grpc', 1);
  const messages = (index: number) => the.client(MessageService, owner, 'grpc', index);
  /** Calls that wait in turn for locks on the only connection of the first instance, until they are released. */
  const useConnection = async () => {
    const channelIds = await Promise.all(Array.from({ length: LOCKED }, () => group()));
    const connection = await the.owner.reserve();
    await connection`begin`;
    await connection`select from channels where id = any(${connection.array(channelIds, 1016)}) for no key update`;
    const calls = channelIds.map((channelId) =>
      the
        .client(ChannelService, owner)
        .updateChannel({ channelId, name: 'Đổi', updateMask: { paths: ['name'] } }),
    );
    await untilLocksAreAwaited(the, 1);
    return async () => {
      await connection`rollback`;
      connection.release();
      await Promise.all(calls);
    };
  };
  const callsWaiting = async () => {
    const { values } = (await the.instances[0]?.deps.metrics.databaseWaiting.get()) ?? assert.fail();
    return values[0]?.value;
  };

  it('receives nothing that was posted after the removal, while another channel is being opened', async () => {
    const [channelId, joinedId] = [await group([reader.userId]), await group()];
    const stream = await new Subscriber(the.client(EventService, reader)).connect();
    const release = await useConnection();
    await until(async () => (await callsWaiting()) === LOCKED - 1, 'the waiting calls');
    await members().addMembers({ channelId: joinedId, userIds: [reader.userId] });
    await until(async () => (await callsWaiting()) === LOCKED, 'the read of the joined channel');
    await members().removeMember({ channelId, userId: reader.userId });
    for (let count = 0; count < 5; count += 1)
      await messages(1).sendMessage({ channelId, content: 'bí mật' });
    await until(() => stream.count('channelClosed') === 1, 'channel_closed');
    assert.equal(stream.count('channelOpened'), 0);
    await release();
    await until(() => stream.count('channelOpened') === 1, 'channel_opened');
    await messages(1).sendMessage({ channelId: joinedId, content: 'chào' });
    await until(() => stream.messages(joinedId).includes('chào'), 'the message');
    assert.deepEqual(stream.messages(channelId), []);
    assert.deepEqual(stream.faults, []);
    await stream.disconnect();
  });
});

describe('a member who is added again', () => {
  let the: App;

  beforeEach(async () => {
    // The test passes on the events that this instance would receive.
    the = await app({ EVENT_POLL_MS: '600000' });
    await the.start();
  });
  afterEach(() => the.close());

  /** Waits until the instance has the results of all statements but those that wait for a lock. */
  const settled = async (locked: number) => {
    await until(async () => {
      const [row] = await the.owner<{ running: number; waiting: number }[]>`
        select
          count(*) filter (where wait_event_type is distinct from 'Lock')::int as running,
          count(*) filter (where wait_event_type = 'Lock')::int as waiting
        from pg_stat_activity
        where datname = current_database()
          and state = 'active'
          and pid != pg_backend_pid()
      `;
      return row?.running === 0 && row.waiting === locked;
    }, `the end of all statements but ${locked}`);
    await the.client(ServerService, owner).getServerInfo({});
  };
  const lockTable = async (table: string) => {
    const connection = await the.owner.reserve();
    await connection`begin`;
    await connection`lock table ${connection(table)} in access exclusive mode`;
    return async () => {
      await connection`rollback`;
      connection.release();
    };
  };
  const setStatus = (channelId: bigint, status: string) => the.owner`
    update channel_members set status = ${status} where channel_id = ${channelId} and user_id = ${reader.userId}
  `;

  const group = async () => {
    const { channel } = await the
      .client(ChannelService, owner, 'grpc', 1)
      .createChannel({ name: 'Kho', memberUserIds: [reader.userId] });
    return channel?.id ?? 0n;
  };
  const members = () => the.client(MemberService, owner, 'grpc', 1);
  const send = (channelId: bigint, content: string) =>
    the.client(MessageService, owner, 'grpc', 1).sendMessage({ channelId, content });
  /**
   * Adds the reader again. From then on, the first instance knows only what the test passes on to its hub: the events of the
   * channel, with the two joins among them.
   */
  const addUnnoticed = async (channelId: bigint) => {
    await the.redis.stop();
    await send(channelId, 'bí mật');
    await members().addMembers({ channelId, userIds: [reader.userId] });
    await send(channelId, 'trở lại');
    const rows = await the.owner<{ kind: string; payload: Buffer }[]>`
      select kind, payload from channel_events where channel_id = ${channelId} order by seq
    `;
    const joins = rows.filter(({ kind }) => kind === 'MEMBERS_JOINED');
    const [first, again] = joins.map(({ payload }) => peekEvent(payload));
    assert.ok(first !== undefined && again !== undefined && joins.length === 2);
    const { hub } = the.instances[0]?.deps ?? assert.fail();
    return { hub, events: rows.map(({ payload }) => peekEvent(payload)), first, again };
  };

  it('receives no event again when the join before the removal is reported late', async () => {
    const channelId = await group();
    const stream = await new Subscriber(the.client(EventService, reader)).connect();
    await send(channelId, 'trước');
    await until(() => stream.messages(channelId).includes('trước'), 'the message before the removal');
    await members().removeMember({ channelId, userId: reader.userId });
    await until(() => stream.count('channelClosed') === 1, 'channel_closed');
    const { hub, events, first } = await addUnnoticed(channelId);
    hub.deliver(first);
    await settled(0);
    for (const event of events) hub.deliver(event);
    await until(() => stream.messages(channelId).includes('trở lại'), 'the message after the return');
    assert.deepEqual(stream.messages(channelId), ['trước', 'trở lại']);
    assert.equal(stream.count('channelOpened'), 1);
    assert.deepEqual(stream.faults, []);
    await stream.disconnect();
  });

  it('keeps the channel when the log is still read for a join before the removal, which was reported late', async () => {
    const channelId = await group();
    await members().removeMember({ channelId, userId: reader.userId });
    // It does not know of the removal.
    const stream = await new Subscriber(the.client(EventService, reader)).connect();
    const { hub, events, first, again } = await addUnnoticed(channelId);
    const passOn = (from: bigint, to: bigint) => {
      for (const event of events) if (event.seq >= from && event.seq < to) hub.deliver(event);
    };

    await setStatus(channelId, 'REMOVED');
    const releaseLog = await lockTable('channel_events');
    const releaseMembers = await lockTable('channel_members');
    // Reads the state of the member.
    hub.deliver(first);
    await untilLocksAreAwaited(the, 1);
    // Reads the events between the two joins.
    passOn(again.seq - 1n, again.seq);
    await untilLocksAreAwaited(the, 2);
    await releaseMembers();
    await settled(1);
    await setStatus(channelId, 'ACTIVE');
    passOn(again.seq, again.seq + 1n);
    await settled(1);
    await releaseLog();
    await settled(0);
    passOn(again.seq + 1n, again.seq + 100n);
    await until(() => stream.messages(channelId).includes('trở lại'), 'the message');
    assert.deepEqual(stream.faults, []);
    assert.equal(stream.count('channelClosed'), 0);
    assert.ok(!stream.messages(channelId).includes('bí mật'));
    await stream.disconnect();
  });
});
