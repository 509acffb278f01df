import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { type Person, TENANT } from './person.ts';
import type { TestCluster } from './world.ts';

/** What is wrong; all 0 when the promises are kept. */
export type Damage = { readonly lost: number; readonly duplicated: number; readonly outOfOrder: number };

/** What the subscribers have so far, and whether the messages acknowledged since the last look are there. */
export async function lookAtStreams(world: TestCluster, heads: ReadonlyMap<bigint, bigint>): Promise<Damage> {
  const sum = (of: (roamer: TestCluster['roamers'][number]) => number) =>
    world.roamers.reduce((total, roamer) => total + of(roamer), 0);
  const acknowledged = [...world.ledger.acknowledged.keys()];
  const [row] = await world.stores.owner<{ stored: number }[]>`
    select count(*)::int as stored
    from messages
    where id = any(${world.stores.owner.array(acknowledged, 1016)})
  `;
  return {
    lost:
      acknowledged.length - (row?.stored ?? 0) + sum((roamer) => roamer.countMissing(heads) + roamer.resets),
    duplicated: sum(({ duplicated }) => duplicated),
    outOfOrder: sum(({ outOfOrder }) => outOfOrder),
  };
}

/** When nobody sends any more: the database, each subscriber and each unread number against one another. */
export async function lookAtAll(world: TestCluster): Promise<{ damage: Damage; broken: string[] }> {
  const broken: string[] = [];
  const stored = await storedMessages(world);
  const ids = new Set([...stored.values()].flat());
  const acknowledged = [...world.ledger.acknowledged.keys()];
  const lost = acknowledged.filter((messageId) => !ids.has(messageId)).length;
  const twice = ids.size - (acknowledged.length - lost);
  if (lost > 0) broken.push(`${lost} acknowledged messages are not in the database`);
  if (twice > 0) broken.push(`${twice} messages in the database were never acknowledged, or posted twice`);
  let differing = 0;
  for (const { posted } of world.roamers) {
    for (const [channelId, messageIds] of posted)
      if ([...messageIds].join() !== (stored.get(channelId) ?? []).join()) differing += 1;
  }
  if (differing > 0) broken.push(`${differing} subscriptions to a channel differ from the channel's history`);
  broken.push(...(await wrongCounts(world)));
  const streams = await lookAtStreams(world, await world.heads());
  return { damage: { ...streams, duplicated: streams.duplicated + twice }, broken };
}

/** Ids by channel, in the order of posting. */
async function storedMessages(world: TestCluster): Promise<Map<bigint, bigint[]>> {
  const rows = await world.stores.owner<{ channelId: bigint; id: bigint }[]>`
    select channel_id, id from messages order by channel_id, post_seq
  `;
  const grouped = Map.groupBy(rows, ({ channelId }) => channelId);
  return new Map([...grouped].map(([channelId, some]) => [channelId, some.map(({ id }) => id)]));
}

/** Unread numbers that either instance tells and that differ from a count by hand. */
async function wrongCounts(world: TestCluster): Promise<string[]> {
  const expected = await countByHand(world);
  const wrong: string[] = [];
  const people = [...world.senders, ...world.roamers].map(({ person }) => person);
  for (const person of people) {
    const told = await Promise.all(world.instances.map((_, instance) => unreadOf(person, instance)));
    for (const channelId of world.channelIds) {
      const right = expected.get(`${channelId}/${person.userId}`) ?? 0;
      for (const unread of told)
        if ((unread.get(channelId) ?? 0) !== right)
          wrong.push(
            `user ${person.userId} has ${right} unread in channel ${channelId}, not ${unread.get(channelId)}`,
          );
    }
  }
  return wrong;
}

async function unreadOf(person: Person, instance: number): Promise<Map<bigint, number>> {
  const { entries } = await person.insist(
    MemberService,
    (client, options) => client.getUnreadSummary({}, options),
    instance,
  );
  return new Map(entries.map(({ channelId, unreadCount }) => [channelId, unreadCount]));
}

async function countByHand(world: TestCluster): Promise<Map<string, number>> {
  const rows = await world.stores.owner<{ key: string; unread: number }[]>`
    select
      m.channel_id || '/' || m.user_id as key,
      (
        select count(*)
        from messages x
        where x.channel_id = m.channel_id
          and x.id > coalesce(m.last_read_msg_id, 0)
          and x.sender_id != m.user_id
          and not x.is_deleted
      )::int as unread
    from channel_members m
    where m.tenant_id = ${TENANT} and m.status = 'ACTIVE'
  `;
  return new Map(rows.map(({ key, unread }) => [key, unread]));
}
