import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { Code, ConnectError } from '@connectrpc/connect';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { MemberRole } from '#gen/serp/discuss/v1/member_pb.ts';
import { SystemNoticeKind as Kind } from '#gen/serp/discuss/v1/message_pb.ts';
import { type App, type As, app, CONCURRENT } from '../../test/kit/app.ts';
import { createRandom } from '../../test/kit/random.ts';
import { rejects } from '../../test/kit/rejects.ts';
import { Subscriber } from '../../test/kit/stream.ts';
import { type Entity, topicFixture } from '../../test/kit/topic-fixture.ts';
import { until } from '../../test/kit/until.ts';

const user = (id: number): As => ({ userId: BigInt(id), tenantId: 1n });
const [ana, binh, chi] = [user(1), user(2), user(3)];
const crm = { userId: 0n, tenantId: 1n, roles: ['discuss.service'] };
const MAX_MEMBERS = 30;

describe('MoveTopic that merges channels', () => {
  let the: App;

  before(async () => {
    the = await app({ ...CONCURRENT, CHANNEL_MAX_MEMBERS: `${MAX_MEMBERS}` });
    await the.start();
  });
  after(() => the.close());

  const { channels, members, messages, some, open, make, move, send, entityOf, listed, roles, lead } =
    topicFixture(() => the);

  it('merges into an existing channel: no history is lost, and all entities resolve to it', async () => {
    const [old, one, two, account] = [some('contact'), some('customer'), some('customer'), some('account')];
    const source = await make(old, 1n, 3n, 4n, 6n);
    const target = await make(two, 1n, 2n, 5n, 6n);
    await move(old, one);
    await members(crm).updateMemberRole({ channelId: source, userId: 1n, role: MemberRole.OWNER });
    await members(crm).updateMemberRole({ channelId: source, userId: 4n, role: MemberRole.GUEST });
    for (const userId of [5n, 6n]) await members(crm).removeMember({ channelId: target, userId });
    await send(ana, source, 'một');
    await send(binh, target, 'hai');
    const stream = await new Subscriber(the.client(EventService, chi, 'grpc', 1)).connect();
    const { channel, mergedChannelId } = await move(one, two);
    assert.deepEqual([channel?.id, mergedChannelId, channel?.memberCount], [target, source, 4]);
    await lead(target, two, old, one, two);
    assert.deepEqual(await roles(target), [
      [1n, MemberRole.MEMBER],
      [2n, MemberRole.MEMBER],
      [3n, MemberRole.MEMBER],
      [4n, MemberRole.GUEST],
    ]);
    const { channel: left, membership } = await channels(ana).getChannel({ channelId: source });
    assert.deepEqual([left?.archived, left?.mergedIntoChannelId, entityOf(left)], [true, target, one]);
    assert.equal(membership?.role, MemberRole.OWNER);
    const history = (await messages(ana).listMessages({ channelId: source })).messages;
    const pointer = history.at(-1)?.notice;
    assert.ok(history.some(({ content }) => content === 'một'));
    assert.deepEqual([pointer?.kind, pointer?.otherChannelId], [Kind.TOPIC_MERGED_INTO, target]);
    const there = (await messages(chi).listMessages({ channelId: target })).messages.at(-1)?.notice;
    assert.deepEqual([there?.kind, there?.otherChannelId], [Kind.TOPIC_MERGED, source]);
    assert.deepEqual([there?.fromEntity?.id, there?.toEntity?.id], [one[1], two[1]]);
    for (const entity of [old, one, two]) assert.deepEqual(await listed(chi, entity), [target]);
    await send(chi, target, 'ở đây');
    await rejects(send(chi, source, 'ở kia'), Code.FailedPrecondition, 'CHANNEL_ARCHIVED');
    for (const as of [ana, crm]) {
      const back = channels(as).unarchiveChannel({ channelId: source });
      await rejects(back, Code.FailedPrecondition, 'CHANNEL_MERGED');
    }
    await until(() => stream.messages(target).includes('ở đây'));
    assert.deepEqual(stream.faults, []);
    await stream.disconnect();
    await move(old, account);
    await lead(target, account, old, one, two, account);
  });

  it('moves archived channels unchanged, and rejects a merge into an archived channel', async () => {
    const [one, two, three] = [some('order'), some('order'), some('order')];
    const channelId = await make(one, 1n);
    await make(three, 2n);
    await channels(crm).archiveChannel({ channelId });
    assert.equal((await move(one, two)).channel?.archived, true);
    await rejects(move(three, one), Code.FailedPrecondition, 'CHANNEL_ARCHIVED');
    const { channel, mergedChannelId } = await move(one, three);
    assert.deepEqual([channel?.archived, mergedChannelId, channel?.memberCount], [false, channelId, 2]);
  });

  it('rejects a merge with too many members and changes neither channel', async () => {
    const [one, two] = [some('customer'), some('customer')];
    const people = Array.from({ length: MAX_MEMBERS }, (_, index) => BigInt(index + 1));
    const source = await make(one, ...people.slice(0, 20));
    const target = await make(two, ...people.slice(9), 77n);
    await rejects(move(one, two), Code.FailedPrecondition, 'CHANNEL_FULL');
    await lead(source, one, one);
    await lead(target, two, two);
    assert.equal((await channels(crm).getChannel({ channelId: source })).channel?.archived, false);
  });

  it('leaves one channel per entity under concurrent moves, merges and creations', async () => {
    const random = createRandom(20_261_123);
    console.log(`# seed ${random.seed}`);
    const done = new Map<string, number>();
    const tried = async (name: string, call: () => Promise<unknown>): Promise<void> => {
      const outcome = await call().then(
        () => name,
        (error: unknown) => Code[ConnectError.from(error).code],
      );
      if (outcome === 'Aborted') return tried(name, call);
      done.set(outcome, (done.get(outcome) ?? 0) + 1);
    };
    for (let round = 0; round < 16; round += 1) {
      const refs = Array.from({ length: 4 }, () => some('order'));
      await Promise.all(
        Array.from({ length: 14 }, () => {
          const [from, to, instance] = [random.pick(refs), random.pick(refs), random.below(2)];
          const userIds = [BigInt(1 + random.below(5))];
          if (random.below(8) === 0)
            return tried('delete', async () => {
              const { channel } = await open(from, [], instance);
              await channels(crm, instance).deleteChannel({ channelId: channel?.id ?? 0n });
            });
          if (from === to || random.below(2) === 0) return tried('open', () => open(from, userIds, instance));
          return tried('move', () => move(from, to, randomUUID(), crm, instance));
        }),
      );
      await assertLed(refs);
    }
    for (const name of ['open', 'move', 'delete']) assert.ok((done.get(name) ?? 0) > 12, name);
    assert.deepEqual(
      [...done.keys()].filter((name) => !['open', 'move', 'delete', 'NotFound'].includes(name)),
      [],
    );
  });

  /** Nothing is orphaned: every entity that ever had a discussion leads to one, and every live channel is led to. */
  async function assertLed(refs: readonly Entity[]): Promise<void> {
    const ids = refs.map(([, id]) => id.toString());
    const [row] = await the.owner<{ live: number; twice: number; astray: number; lost: number }[]>`
      with live as (
        select * from channels
        where type = 'TOPIC' and entity_id = any(${ids}::bigint[]) and deleted_at is null and merged_into is null
      )
      select
        (select count(*)::int from live) as live,
        (
          select count(*)::int
          from channel_entity_aliases a
          join live l on l.entity_type = a.entity_type and l.entity_id = a.entity_id
          join channels c on c.id = a.channel_id and c.deleted_at is null
        ) as twice,
        (
          select count(*)::int
          from channel_entity_aliases a
          join channels c on c.id = a.channel_id
          where a.entity_id = any(${ids}::bigint[]) and c.merged_into is not null and c.deleted_at is null
        ) as astray,
        (
          select count(*)::int
          from channels c
          join channels into_ on into_.id = c.merged_into
          where c.entity_id = any(${ids}::bigint[]) and c.deleted_at is null and into_.deleted_at is null
            and not exists (select 1 from live l where l.entity_id = c.entity_id)
            and not exists (select 1 from channel_entity_aliases a where a.entity_id = c.entity_id)
        ) as lost
    `;
    assert.deepEqual([row?.twice, row?.astray, row?.lost], [0, 0, 0]);
    const reached = new Set<bigint | undefined>();
    let made = 0;
    for (const entity of refs) {
      const { channel, created } = await open(entity);
      reached.add(channel?.id);
      made += Number(created);
      assert.deepEqual([channel?.archived, channel?.mergedIntoChannelId], [false, 0n]);
    }
    assert.equal(reached.size, (row?.live ?? 0) + made);
  }
});
