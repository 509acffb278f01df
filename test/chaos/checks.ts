import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import type { TestCluster } from './test-cluster.ts';
import { TENANT, type TestUser } from './test-user.ts';

/** Numbers of messages and events for which a guarantee was violated. */
export type ViolationCounts = {
  readonly lost: number;
  readonly duplicated: number;
  readonly outOfOrder: number;
};

/** Checks what the subscribers have received up to the heads, and that acknowledged messages are stored. */
export async function checkStreams(
  cluster: TestCluster,
  heads: ReadonlyMap<bigint, bigint>,
): Promise<ViolationCounts> {
  const sum = (of: (subscriber: TestCluster['subscribers'][number]) => number) =>
    cluster.subscribers.reduce((total, subscriber) => total + of(subscriber), 0);
  const acknowledged = [...cluster.ledger.acknowledged.keys()];
  const [row] = await cluster.stores.owner<{ stored: number }[]>`
    select count(*)::int as stored
    from messages
    where id = any(${cluster.stores.owner.array(acknowledged, 1016)})
  `;
  return {
    lost:
      acknowledged.length -
      (row?.stored ?? 0) +
      sum((subscriber) => subscriber.countMissing(heads) + subscriber.resets),
    duplicated: sum(({ duplicated }) => duplicated),
    outOfOrder: sum(({ outOfOrder }) => outOfOrder),
  };
}

/** After all senders stopped: compares the database, the subscribers and the unread counts with each other. */
export async function checkAll(
  cluster: TestCluster,
): Promise<{ counts: ViolationCounts; violations: string[] }> {
  const violations: string[] = [];
  const stored = await storedMessages(cluster);
  const ids = new Set([...stored.values()].flat());
  const acknowledged = [...cluster.ledger.acknowledged.keys()];
  const lost = acknowledged.filter((messageId) => !ids.has(messageId)).length;
  const twice = ids.size - (acknowledged.length - lost);
  if (lost > 0) violations.push(`${lost} acknowledged messages are not in the database`);
  if (twice > 0)
    violations.push(`${twice} messages in the database were never acknowledged, or posted twice`);
  let differing = 0;
  for (const { posted } of cluster.subscribers) {
    for (const [channelId, messageIds] of posted)
      if ([...messageIds].join() !== (stored.get(channelId) ?? []).join()) differing += 1;
  }
  if (differing > 0)
    violations.push(`${differing} subscriptions to a channel differ from the channel's history`);
  violations.push(...(await wrongCounts(cluster)));
  const streams = await checkStreams(cluster, await cluster.heads());
  return { counts: { ...streams, duplicated: streams.duplicated + twice }, violations };
}

/** Ids by channel, in the order of posting. */
async function storedMessages(cluster: TestCluster): Promise<Map<bigint, bigint[]>> {
  const rows = await cluster.stores.owner<{ channelId: bigint; id: bigint }[]>`
    select channel_id, id from messages where tenant_id = ${TENANT} order by channel_id, post_seq
  `;
  const grouped = Map.groupBy(rows, ({ channelId }) => channelId);
  return new Map([...grouped].map(([channelId, some]) => [channelId, some.map(({ id }) => id)]));
}

/** Unread counts of either instance that differ from the number of messages in the database. */
async function wrongCounts(cluster: TestCluster): Promise<string[]> {
  const expected = await countUnread(cluster);
  const wrong: string[] = [];
  const users = [...cluster.senders, ...cluster.subscribers].map(({ user }) => user);
  for (const user of users) {
    const reported = await Promise.all(cluster.instances.map((_, instance) => unreadOf(user, instance)));
    for (const channelId of cluster.channelIds) {
      const correct = expected.get(`${channelId}/${user.userId}`) ?? 0;
      for (const unread of reported)
        if ((unread.get(channelId) ?? 0) !== correct)
          wrong.push(
            `user ${user.userId} has ${correct} unread in channel ${channelId}, not ${unread.get(channelId)}`,
          );
    }
  }
  return wrong;
}

async function unreadOf(user: TestUser, instance: number): Promise<Map<bigint, number>> {
  const { entries } = await user.retry(
    MemberService,
    (client, options) => client.getUnreadSummary({}, options),
    instance,
  );
  return new Map(entries.map(({ channelId, unreadCount }) => [channelId, unreadCount]));
}

async function countUnread(cluster: TestCluster): Promise<Map<string, number>> {
  const rows = await cluster.stores.owner<{ key: string; unread: number }[]>`
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
