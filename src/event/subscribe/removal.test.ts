import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, type As, app } from '../../../test/kit/app.ts';
import { untilLocksAreAwaited } from '../../../test/kit/locks.ts';
import { Subscriber } from '../../../test/kit/stream.ts';
import { until } from '../../../test/kit/until.ts';

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
