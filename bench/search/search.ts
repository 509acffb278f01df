import { type Client, createClient, type Interceptor } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { SearchService } from '#gen/serp/discuss/v1/search_service_pb.ts';
import type { Pool } from '../../src/db/types.ts';
import { type Benchmark, ratioAtMost } from '../lib/benchmark.ts';
import { type Measurement, median, percentile, RUNS, toMeasurement } from '../lib/measure.ts';
import { type Stack, TENANT } from '../lib/stack.ts';
import { textAt } from '../lib/texts.ts';

const MESSAGES = 1_000_000;
const CHANNELS = 1_000;
const LINES = 600;
const ROUNDS = 12;

/** Channels of users 1, 2 and 3; above 300 the index is searched by tenant and not by channel. */
const MEMBERSHIPS = [3, 200, 450];

/**
 * Time of a search through the RPC, over the time of the document's search, a join ordered by rank, without row-level
 * security. 1,000,000 messages of five tenants, half of them of the searching tenant. Words come from real texts, with a
 * few frequent words and many rare ones.
 */
export const search: Benchmark = {
  name: 'search',
  subject: 'search',
  isHeadline: false,
  goals: { search_p50: ratioAtMost(0.5), search_p95: ratioAtMost(0.5) },
  run,
};

async function run(stack: Stack): Promise<Measurement[]> {
  await using database = await stack.database();
  const sql = database.owner(2);
  const words = vocabulary();
  await fill(sql, words);
  await using service = await stack.service(database);
  const { grpc } = await service.call('addresses');
  const clients = await Promise.all(
    MEMBERSHIPS.map((_, index) => createSearcher(stack, grpc, BigInt(index + 1))),
  );
  const queries = toQueries(words);

  const values: number[][] = [];
  const baselines: number[][] = [];
  for (let run = 0; run <= RUNS; run++) {
    const ours = await timesOf(queries, clients, (client, query) => client.searchMessages({ query }));
    const simple = queries.filter(({ isWords }) => isWords);
    const theirs = await timesOf(simple, [1n, 2n, 3n], (userId, query) => documentSearch(sql, userId, query));
    // The first run fills caches and plans.
    if (run === 0) continue;
    values.push(ours);
    baselines.push(theirs);
  }
  return [0.5, 0.95].map((share) =>
    toMeasurement(
      `search_p${share * 100}`,
      'ms',
      values.map((times) => percentile(times, share)),
      baselines.map((times) => percentile(times, share)),
    ),
  );
}

type Query = { readonly name: string; readonly isWords: boolean; readonly at: (round: number) => string };

function toQueries(words: readonly string[]): Query[] {
  const at = (share: number, round: number) => words[Math.floor(words.length * share) + round] ?? '';
  return [
    { name: 'a frequent word', isWords: true, at: (round) => at(0, round) },
    { name: 'a less frequent word', isWords: true, at: (round) => at(0.3, round) },
    { name: 'a rare word', isWords: true, at: (round) => at(0.9, round) },
    { name: 'two words', isWords: true, at: (round) => `${at(0, round)} ${at(0.2, round)}` },
    { name: 'a phrase', isWords: false, at: (round) => `"${at(0, round)} ${at(0, round + 1)}"` },
    { name: 'an excluded word', isWords: false, at: (round) => `${at(0.05, round)} -${at(0, round)}` },
    { name: 'a code', isWords: false, at: (round) => `PO-2026-${String(round * 7_000).padStart(6, '0')}` },
    { name: 'a prefix', isWords: false, at: (round) => `${at(0.1, round).slice(0, 3).padEnd(3, 'n')}*` },
    {
      name: 'a part of a word',
      isWords: false,
      at: (round) => `*${at(0.5, round).slice(1, 4).padEnd(3, 'n')}*`,
    },
    { name: 'no match', isWords: true, at: (round) => `khongco${round}` },
  ];
}

async function timesOf<T>(
  queries: readonly Query[],
  callers: readonly T[],
  search: (caller: T, query: string) => Promise<unknown>,
): Promise<number[]> {
  const all: number[] = [];
  for (const { name, at } of queries) {
    const times: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      for (const caller of callers) {
        const began = performance.now();
        await search(caller, at(round));
        times.push(performance.now() - began);
      }
    }
    const worst = Math.max(...times);
    console.error(`  ${name}: p50 ${median(times).toFixed(1)} ms, worst ${worst.toFixed(1)} ms`);
    all.push(...times);
  }
  return all;
}

async function createSearcher(
  stack: Stack,
  address: string,
  userId: bigint,
): Promise<Client<typeof SearchService>> {
  const token = await stack.tokens.sign({ userId, tenantId: TENANT });
  const authorize: Interceptor = (next) => (request) => {
    request.header.set('authorization', `Bearer ${token}`);
    return next(request);
  };
  return createClient(
    SearchService,
    createGrpcTransport({ baseUrl: `http://${address}`, interceptors: [authorize] }),
  );
}

function documentSearch(sql: Pool, userId: bigint, query: string): Promise<unknown> {
  return sql`
    select m.id, m.content
    from messages m
    join message_words w on w.message_id = m.id
    join channel_members cm on cm.channel_id = m.channel_id
    cross join plainto_tsquery('discuss_simple', ${query}) as q
    where w.search_vector @@ q
      and m.tenant_id = ${TENANT}
      and m.is_deleted = false
      and cm.user_id = ${userId}
      and cm.status = 'ACTIVE'
    order by ts_rank(w.search_vector, q) desc, m.id desc
    limit 20
  `;
}

/** Words of real texts, the most frequent first. */
function vocabulary(): string[] {
  const counts = new Map<string, number>();
  for (let index = 0; index < LINES; index++) {
    for (const word of textAt(index)
      .normalize('NFC')
      .toLowerCase()
      .match(/[\p{L}\p{M}]{2,}/gu) ?? [])
      counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  return [...counts].sort(([, a], [, b]) => b - a).map(([word]) => word);
}

// Without triggers, and with the index built at the end: about two minutes instead of ten.
async function fill(sql: Pool, words: readonly string[]): Promise<void> {
  const began = performance.now();
  const [index] = await sql<{ definition: string }[]>`
    select replace(pg_get_indexdef('idx_messages_search'::regclass), ' ON ONLY ', ' ON ') as definition
  `;
  await sql`drop index idx_messages_search`;
  await sql`
    insert into channels (id, tenant_id, created_by, name, type, last_message_id, post_seq, created_at, updated_at)
    select n, 1 + n % 2 * (n % 5), 1, 'Kênh ' || n, 'GROUP', ${MESSAGES}::bigint, ${MESSAGES / CHANNELS}::bigint, 0, 0
    from generate_series(1, ${CHANNELS}::int) as n
  `;
  for (const [index, channels] of MEMBERSHIPS.entries()) {
    await sql`
      insert into channel_members (channel_id, user_id, tenant_id, joined_at, created_at, updated_at)
      select c.id, ${BigInt(index + 1)}, ${TENANT}, 0, 0, 0
      from (select id from channels where tenant_id = ${TENANT} order by id limit ${channels}) as c
    `;
  }
  const half = MESSAGES / 2;
  await Promise.all([insertMessages(sql, words, 1, half), insertMessages(sql, words, half + 1, MESSAGES)]);
  await sql`
    insert into message_words (message_id, tenant_id, created_at, scope, search_vector)
    select
      m.id, m.tenant_id, m.created_at, search_scope(m.id, m.tenant_id, m.channel_id, m.sender_id, m.message_type),
      message_vector(m.content)
    from messages m
  `;
  await sql.begin(async (tx) => {
    await tx`set local maintenance_work_mem = '512MB'`;
    await tx.unsafe(index?.definition ?? '');
  });
  await sql`
    insert into search_words (tenant_id, word)
    select distinct m.tenant_id, w.word
    from message_words m
    cross join lateral unnest(tsvector_to_array(ts_filter(m.search_vector, '{a}'))) as w(word)
    where length(w.word) >= 4
  `;
  await sql`vacuum analyze`;
  console.error(`  ${MESSAGES} messages in ${Math.round((performance.now() - began) / 1000)} s`);
}

async function insertMessages(sql: Pool, words: readonly string[], from: number, to: number): Promise<void> {
  await sql.begin(async (tx) => {
    await tx`set local session_replication_role = replica`;
    await tx`
      with vocabulary as materialized (
        select array(select json_array_elements_text(${JSON.stringify(words)}::text::json)) as words
      )
      insert into messages (id, channel_id, sender_id, tenant_id, content, post_seq, created_at, updated_at)
      select
        n, c.id, 1 + n % 50, c.tenant_id, t.content, n, now_ms() - (${MESSAGES} - n) * 1000, 0
      from generate_series(${from}::int, ${to}::int) as n
      join channels c on c.id = 1 + (n * 7919::bigint) % ${CHANNELS}
      cross join vocabulary v
      cross join lateral (
        select
          string_agg(w.word, ' ')
          || case when n % 7 = 0 then ' PO-2026-' || lpad((n / 7)::text, 6, '0') else '' end as content
        from (
          select v.words[1 + floor(power(random(), 3) * array_length(v.words, 1))::int] as word
          from generate_series(1, 8 + n % 9)
        ) as w
      ) as t
    `;
  });
}
