import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { toBinary, toJsonString } from '@bufbuild/protobuf';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import {
  EventService,
  type SubscribeResponse,
  SubscribeResponseSchema,
} from '#gen/serp/discuss/v1/event_service_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, type As, app, CONCURRENT, type Edge } from '../../../test/kit/app.ts';
import { createRandom } from '../../../test/kit/random.ts';
import { Subscriber } from '../../../test/kit/stream.ts';
import { until } from '../../../test/kit/until.ts';

const tenantId = 1n;
const user = (userId: number): As => ({ userId: BigInt(userId), tenantId });
const MANY = 5_200;
const FIRST = 1_000_000n;

describe('the start of a stream', () => {
  let the: App;

  before(async () => {
    the = await app(CONCURRENT);
    await the.start({ EVENT_STARTED_CHANNELS: '1' });
  });
  after(() => the.close());

  const started = (subscriber: Subscriber) =>
    subscriber.others.flatMap((payload) => (payload.case === 'started' ? [payload.value] : []));

  /** Adds a member to many channels at once. */
  const addToMany = async (userId: number, count: number) => {
    await the.owner`
      insert into channels (id, tenant_id, type, name, is_private, created_by, event_seq, created_at, updated_at)
      select ${FIRST} + n, ${tenantId}, 'GROUP', 'Kho ' || n, true, ${userId}, 0, 1, 1
      from generate_series(0, ${count - 1}) as n
    `;
    await the.owner`
      insert into channel_members (channel_id, user_id, tenant_id, role, status, joined_at, created_at, updated_at)
      select c.id, ${userId}, ${tenantId}, 'OWNER', 'ACTIVE', 1, 1, 1 from channels c where c.id >= ${FIRST}
    `;
  };

  it(`names each of ${MANY} channels once, in pages, and continues from the cursor of any`, async () => {
    await addToMany(1, MANY);
    for (const [seq, edge] of [
      [0n, 'grpc'],
      [1n, 'web'],
    ] as const) {
      const subscriber = new Subscriber(the.client(EventService, user(1), edge));
      subscriber.cursors.set(FIRST + BigInt(MANY) - 1n, seq).set(FIRST, seq);
      await subscriber.connect();
      const pages = started(subscriber);
      assert.deepEqual(
        pages.map(({ channels, more }) => [channels.length, more]),
        [...Array.from({ length: 5 }, () => [1_000, true]), [MANY - 5_000, false]],
      );
      const ids = pages.flatMap(({ channels }) => channels.map(({ channelId }) => channelId));
      assert.deepEqual(
        ids,
        Array.from({ length: MANY }, (_, index) => FIRST + BigInt(index)),
      );
      for (const channelId of [FIRST, FIRST + BigInt(MANY) - 1n])
        await the.client(MessageService, user(1)).sendMessage({ channelId, content: 'xin chào' });
      await until(() => subscriber.events.length === 2, 'an event of the first and of the last channel');
      assert.deepEqual([subscriber.count('channelClosed'), subscriber.count('reset')], [0, 0]);
      assert.deepEqual(subscriber.faults, []);
      await subscriber.disconnect();
    }
  });

  it('is never larger than 3 MB, and complete, with the largest settings in each channel', async () => {
    const count = 110;
    // 8 KB as JSON: the form with most bytes in the binary codec.
    await the.owner`
      update channel_members
      set metadata = jsonb_build_object('a', array_fill(0, array[4000]))
      where channel_id between ${FIRST} and ${FIRST + BigInt(count - 1)}
    `;
    await the.owner`update channels set deleted_at = 1 where id >= ${FIRST + BigInt(count)}`;
    for (const channelIds of [[], Array.from({ length: count }, (_, index) => FIRST + BigInt(index))]) {
      const subscriber = new Subscriber(the.client(EventService, user(1), 'web'), channelIds);
      await subscriber.connect();
      const pages = started(subscriber);
      assert.ok(pages.length > 1, 'more than one message');
      const sizes = pages.flatMap((value) => sizesOf({ case: 'started', value }));
      assert.ok(Math.max(...sizes) <= 3_000_000, `${sizes}`);
      assert.equal(
        new Set(pages.flatMap(({ channels }) => channels.map(({ channelId }) => channelId))).size,
        count,
      );
      assert.deepEqual(pages.map(({ more }) => more).indexOf(false), pages.length - 1);
      await subscriber.disconnect();
    }
  });

  it('includes what changes between its pages: joins and departures take effect, and nothing is sent twice', async () => {
    const random = createRandom(20_261_127);
    console.log(`# seed ${random.seed}`);
    const [owner, member] = [user(2), 3];
    const channels: bigint[] = [];
    for (let index = 0; index < 60; index += 1) {
      const memberUserIds = index % 3 === 0 ? [] : [BigInt(member)];
      const { channel } = await the
        .client(ChannelService, owner)
        .createChannel({ name: 'Kho', memberUserIds });
      channels.push(channel?.id ?? 0n);
    }
    for (let round = 0; round < 6; round += 1) {
      const edge: Edge = round % 2 === 0 ? 'grpc' : 'web';
      const subscriber = new Subscriber(the.client(EventService, user(member), edge, 1));
      const members = new Set(await memberChannels(the, member));
      const changes = channels.filter(() => random.below(3) === 0);
      const connected = subscriber.connect();
      await Promise.all([connected, ...changes.map((channelId) => toggle(channelId, members))]);
      const marker = `mốc ${round}`;
      for (const channelId of channels)
        await the.client(MessageService, owner).sendMessage({ channelId, content: marker });
      const expected = new Set(await memberChannels(the, member));
      await until(
        () => [...expected].every((id) => subscriber.messages(id).includes(marker)),
        'all messages',
      );
      for (const id of channels)
        assert.equal(
          subscriber.messages(id).filter((content) => content === marker).length,
          expected.has(id) ? 1 : 0,
        );
      assert.deepEqual(new Set(subscriber.cursors.keys()), expected);
      const kinds = subscriber.others.map(({ case: kind }) => kind);
      assert.ok(!kinds.slice(0, kinds.lastIndexOf('started')).includes('channelOpened'));
      assert.deepEqual(subscriber.faults, []);
      await subscriber.disconnect();
    }

    async function toggle(channelId: bigint, members: ReadonlySet<bigint>): Promise<void> {
      const client = the.client(MemberService, owner);
      if (members.has(channelId)) await client.removeMember({ channelId, userId: BigInt(member) });
      else await client.addMembers({ channelId, userIds: [BigInt(member)] });
    }
  });
});

async function memberChannels(the: App, userId: number): Promise<bigint[]> {
  const rows = await the.owner<{ channelId: bigint }[]>`
    select channel_id from channel_members where user_id = ${userId} and is_member_status(status)
  `;
  return rows.map(({ channelId }) => channelId);
}

/** Size of a message of the stream in each codec. */
function sizesOf(payload: SubscribeResponse['payload']): number[] {
  const message = { $typeName: SubscribeResponseSchema.typeName, payload } as const;
  return [
    toBinary(SubscribeResponseSchema, message).length,
    Buffer.byteLength(toJsonString(SubscribeResponseSchema, message)),
  ];
}
