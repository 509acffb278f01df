import { SearchMatch, SearchService } from '#gen/serp/discuss/v1/search_service_pb.ts';
import { indexed } from '../kit/indexed.ts';
import type { TestCluster } from './test-cluster.ts';
import { TENANT, type TestUser } from './test-user.ts';

// Below the limit of searches in a minute.
const TEXTS_PER_USER = 10;
const USERS = 4;
const PAGE_SIZE = 100;
const NUMBERED = /^tin (\d+) của (\d+)$/;

/**
 * Searches for texts that were sent, with other results than the messages that have the text now: those of messages that were
 * edited or deleted afterwards must have none.
 */
export async function wrongSearches(cluster: TestCluster): Promise<string[]> {
  await indexed(cluster.stores);
  const users = cluster.subscribers.slice(0, USERS).map(({ user }) => user);
  const wrong = await Promise.all(users.map((user) => wrongSearchesOf(cluster, user)));
  return wrong.flat();
}

async function wrongSearchesOf(cluster: TestCluster, user: TestUser): Promise<string[]> {
  const rows = await cluster.stores.owner<{ id: bigint; content: string }[]>`
    select m.id, m.content
    from messages m
    join channel_members r on r.channel_id = m.channel_id and r.user_id = ${user.userId}
    where m.tenant_id = ${TENANT} and r.status = 'ACTIVE' and not m.is_deleted and m.message_type = 'TEXT'
  `;
  const stored = Map.groupBy(rows, ({ content }) => content);
  const wrong: string[] = [];
  for (const text of sentTexts(cluster, [...stored.keys()])) {
    const expected = (stored.get(text) ?? []).map(({ id }) => id);
    const found = await search(user, text);
    if (found.sort().join() !== expected.sort().join())
      wrong.push(`user ${user.userId} finds messages ${found.join()} by "${text}", not ${expected.join()}`);
  }
  return wrong;
}

/** Some that senders have numbered, stored or not. */
function sentTexts({ random }: TestCluster, stored: readonly string[]): string[] {
  const numbers = stored.flatMap((content) => {
    const [, number, sender] = NUMBERED.exec(content) ?? [];
    return number === undefined || sender === undefined ? [] : [{ number: Number(number), sender }];
  });
  if (numbers.length === 0) throw new RangeError('no numbered message is stored');
  return Array.from({ length: TEXTS_PER_USER }, () => {
    const { number, sender } = random.pick(numbers);
    return `tin ${1 + random.below(number)} của ${sender}`;
  });
}

async function search(user: TestUser, text: string): Promise<bigint[]> {
  const { messages, matched } = await user.retry(SearchService, (client, options) =>
    client.searchMessages({ query: `"${text}"`, pageSize: PAGE_SIZE }, options),
  );
  // Otherwise no message has these words.
  if (matched !== SearchMatch.WORDS) return [];
  return messages.map(({ messageId }) => messageId);
}
