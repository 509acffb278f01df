import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { PresenceStatus } from '#gen/serp/discuss/v1/presence_pb.ts';
import { PresenceService } from '#gen/serp/discuss/v1/presence_service_pb.ts';
import { type App, type As, app } from '../../test/kit/app.ts';
import { Subscriber } from '../../test/kit/stream.ts';
import { until } from '../../test/kit/until.ts';

const user = (id: number, tenantId = 1n): As => ({ userId: BigInt(id), tenantId });

describe('ListChannels.online_member_count', () => {
  let the: App;

  before(async () => {
    the = await app({
      PRESENCE_MAX_MEMBERS: '5',
      PRESENCE_DEBOUNCE_MS: '20',
      PRESENCE_RECOVERY_MS: '100',
    });
  });
  after(() => the.close());

  const group = async (owner: number, members: number[]) => {
    const { channel } = await the
      .client(ChannelService, user(owner))
      .createChannel({ name: 'Tổ', private: true, memberUserIds: members.map(BigInt) });
    return channel?.id ?? 0n;
  };
  const heartbeat = (as: As) => the.client(PresenceService, as).heartbeat({ device: { id: 'a' } });
  /** Numbers online by channel. */
  const list = async (as: As) => {
    const { entries } = await the.client(ChannelService, as).listChannels({});
    return new Map(entries.map(({ channel, onlineMemberCount }) => [channel?.id, onlineMemberCount]));
  };

  it('counts the members of each channel who are visibly online', async () => {
    const few = await group(1, [2, 3]);
    const many = await group(1, [2, 4, 5, 6]);
    const large = await group(1, [2, 3, 4, 5, 6]);
    const own = await group(1, []);
    const { channel } = await the.client(ChannelService, user(1)).getOrCreateDirectChannel({ userId: 4n });
    await the.owner`update channel_members set status = 'MUTED' where channel_id = ${many} and user_id = 5`;
    await the.owner`update channel_members set status = 'LEFT' where channel_id = ${many} and user_id = 6`;
    await Promise.all([1, 2, 4, 5, 6].map((id) => heartbeat(user(id))));
    // Of another tenant, with the id of a member.
    await heartbeat(user(3, 2n));
    await the.client(PresenceService, user(2)).setStatus({ status: PresenceStatus.OFFLINE });
    await until(async () => (await list(user(1))).get(many) === 3, 'three members online');
    assert.deepEqual(
      await list(user(1)),
      new Map([
        [few, 1],
        [many, 3],
        [large, undefined],
        [own, 1],
        [channel?.id, 2],
      ]),
    );
    assert.deepEqual([...(await list(user(6))).keys()], [large]);
  });

  it('is unset while Redis is unavailable, and counts users with streams once Redis is back', async () => {
    const mine = await group(20, [21]);
    const stream = await new Subscriber(the.client(EventService, user(21))).connect();
    await heartbeat(user(20));
    await until(async () => (await list(user(20))).get(mine) === 2);
    await the.redis.stop();
    assert.deepEqual(await list(user(20)), new Map([[mine, undefined]]));
    await the.redis.start();
    await until(async () => (await list(user(20))).get(mine) === 1);
    await heartbeat(user(20));
    await until(async () => (await list(user(20))).get(mine) === 2);
    await stream.disconnect();
  });
});
