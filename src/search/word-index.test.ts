import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import postgres from 'postgres';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import {
  SearchMessagesRequest_Order as Order,
  SearchMatch,
  SearchService,
} from '#gen/serp/discuss/v1/search_service_pb.ts';
import { type App, type As, app, CONCURRENT } from '../../test/kit/app.ts';
import { createRandom } from '../../test/kit/random.ts';
import { searchFixture } from '../../test/kit/search-fixture.ts';
import { types } from '../db/types.ts';
import { parseQuery } from './query.ts';
import { searchMessages } from './sql.ts';

const ana = { userId: 1n, tenantId: 1n };

describe('the index of words', () => {
  let the: App;
  let sales: bigint;

  before(async () => {
    the = await app({ ...CONCURRENT, SEARCH_INDEX_INTERVAL_MS: '50' });
    sales = await group('Kinh doanh', ana, [2n]);
  });
  after(() => the.close());

  const { group, send, search, texts } = searchFixture(() => the);

  it('never finds a message by its text before an edit or a deletion, and soon by the new one', async () => {
    const id = await send(sales, 'zyx một');
    await texts('zyx');
    const edit = (content: string) =>
      the
        .client(MessageService, ana)
        .editMessage({ channelId: sales, messageId: id, content, updateMask: { paths: ['content'] } });
    const searchNow = async (query: string) =>
      (await the.client(SearchService, ana).searchMessages({ query })).messages.length;
    for (let round = 0; round < 20; round += 1) {
      await edit(`zyx${round}a`);
      await edit(`zyx${round}b`);
      assert.equal(await searchNow(round === 0 ? '"zyx một"' : `zyx${round - 1}b`), 0);
      assert.equal(await searchNow(`zyx${round}a`), 0);
      assert.deepEqual(await texts(`zyx${round}b`), [`zyx${round}b`]);
    }
    await the.client(MessageService, ana).deleteMessage({ channelId: sales, messageId: id });
    assert.equal(await searchNow('zyx19b'), 0);
  });

  it('finds messages that plain SQL inserts, changes and removes', async () => {
    const [row] = await the.owner<{ id: bigint }[]>`
      insert into messages (channel_id, sender_id, tenant_id, content, created_at, updated_at)
      values (${sales}, 1, 1, 'nhập khẩu qwv', 1, 1)
      returning id
    `;
    const id = row?.id ?? 0n;
    assert.deepEqual(await texts('qwv'), ['nhập khẩu qwv']);
    await the.owner`update messages set content = 'xuất khẩu qwv' where id = ${id}`;
    assert.deepEqual(await texts('"khau qwv"'), ['xuất khẩu qwv']);
    assert.deepEqual(await texts('nhap qwv'), []);
    await the.owner`delete from messages where id = ${id}`;
    assert.deepEqual(await texts('qwv'), []);
    assert.equal((await the.owner`select from message_words where message_id = ${id}`).length, 0);
  });

  it('reads only matches in the caller’s channels from the index', async () => {
    await the.owner.begin(async (sql) => {
      await sql`set local session_replication_role = replica`;
      await sql`
        insert into channels (id, tenant_id, created_by, name, type, last_message_id, created_at, updated_at)
        select 10000 + n, 4, 1, 'Kênh ' || n, 'GROUP', 1050000, 0, 0 from generate_series(0, 99) as n
      `;
      await sql`
        insert into channel_members (channel_id, user_id, tenant_id, joined_at, created_at, updated_at)
        select 10000 + n, 1, 4, 0, 0, 0 from generate_series(0, 2) as n
      `;
      await sql`
        insert into messages (id, channel_id, sender_id, tenant_id, content, post_seq, created_at, updated_at)
        select
          1000000 + n, 10000 + n % 100, 1, 4,
          'xin chào ' || case when n % 10000 = 1 then 'hiếm' else '' end || ' mã' || n, n, 0, 0
        from generate_series(1, 50000) as n
      `;
    });
    await the.owner`select index_words(array(select id from messages where tenant_id = 4))`;
    await the.owner`vacuum analyze`;
    const ask = async (query: string) => {
      const { tuples, sequential, rows } = await readsOf(the, { userId: 1n, tenantId: 4n }, query);
      assert.equal(sequential, 0, query);
      return [rows, tuples];
    };
    // 1,500 of the caller's messages hold the first, 50,000 of the tenant's; 5 the second.
    const [common = 0, read = 0] = await ask('xin');
    assert.equal(common, 21);
    assert.ok(read <= 1_600, `${read} rows read`);
    assert.deepEqual(await ask('xin hiem'), [5, 5]);
    assert.deepEqual(
      await ask('xin -hiem ma20*'),
      (await ask('xin ma20*')).map((n, index) => (index === 0 ? 21 : n)),
    );
    assert.deepEqual(await ask('khongco'), [0, 0]);
  });

  it('finds what a scan of the visible messages finds, after random posts, deletions, joins and departures', async (t) => {
    const random = createRandom(20_261_122);
    t.diagnostic(`TEST_SEED=${random.seed}`);
    const users = [11n, 12n, 13n, 14n].map((userId) => ({ userId, tenantId: 3n }));
    const channels = await Promise.all([1, 2, 3].map((n) => group(`Kênh ${n}`, users[0] ?? ana)));
    const members = new Map(channels.map((id) => [id, new Set([11n])]));
    const posts = new Map<bigint, { channelId: bigint; words: Set<string> }>();
    const owner = the.client(MemberService, users[0] ?? ana);
    for (let step = 0; step < 250; step++) {
      const channelId = random.pick(channels);
      const inside = members.get(channelId) ?? new Set();
      const user = random.pick(users);
      const act = random.below(10);
      if (act === 0 && user.userId !== 11n) {
        if (inside.delete(user.userId)) await the.client(MemberService, user).leaveChannel({ channelId });
      } else if (act <= 2) {
        await owner.addMembers({ channelId, userIds: [user.userId] });
        inside.add(user.userId);
      } else if (act === 3 && posts.size > 0) {
        const [id, post] = random.pick([...posts]);
        await the
          .client(MessageService, users[0] ?? ana)
          .deleteMessage({ channelId: post.channelId, messageId: id });
        posts.delete(id);
      } else if (inside.has(user.userId)) {
        const words = Array.from({ length: 1 + random.below(5) }, () => random.pick(vocabulary));
        const text = words
          .map((word) => random.pick([word, word.toUpperCase(), plain(word)]))
          .join(random.pick([' ', '-', ', ']));
        posts.set(await send(channelId, text, user), { channelId, words: new Set(words.map(plain)) });
      }
    }
    for (let round = 0; round < 40; round++) {
      const user = random.pick(users);
      const word = plain(random.pick(vocabulary));
      const order = random.pick([Order.RELEVANCE, Order.NEWEST]);
      const expected = [...posts]
        .filter(([, { channelId, words }]) => members.get(channelId)?.has(user.userId) && words.has(word))
        .map(([id]) => id);
      const found: bigint[] = [];
      let pageToken = '';
      do {
        const page = await search(word, { order, pageSize: 5, pageToken }, user);
        if (page.matched !== SearchMatch.PARTS)
          found.push(...page.messages.map(({ messageId }) => messageId));
        pageToken = page.nextPageToken;
      } while (pageToken !== '');
      assert.deepEqual(found.toSorted(), expected.toSorted(), `${word} for ${user.userId}`);
      if (order === Order.NEWEST)
        assert.deepEqual(
          found,
          found.toSorted((a, b) => Number(b - a)),
        );
    }
  });
});

const vocabulary = [
  'đơn',
  'hàng',
  'kho',
  'vận',
  'nợ',
  'số',
  'tờ',
  'ô',
  'PX12',
  '2024',
  'xuất',
  'budget',
  'kỹ',
  'lịch',
  'bàn',
];

function plain(word: string): string {
  return word.normalize('NFD').replaceAll(/\p{M}/gu, '').toLowerCase().replaceAll('đ', 'd');
}

/** What the service's statement reads of `messages`, under the service's role and the caller's settings. */
async function readsOf({ database }: App, { userId, tenantId }: As, query: string) {
  const sql = postgres(database.ownerUrl, { max: 1, types, fetch_types: false, transform: postgres.camel });
  try {
    return await sql.begin(async (tx) => {
      await tx`select set_config('app.tenant_id', ${`${tenantId}`}, true), set_config('app.user_id', ${`${userId}`}, true)`;
      await tx`set local role discuss_service`;
      const filter = { channelIds: [], senderIds: [], types: [], rootMessageId: 0n };
      const unset = { afterMs: undefined, beforeMs: undefined, hasAttachment: undefined };
      const search = {
        terms: parseQuery(query),
        withoutStopWords: false,
        filter: { ...filter, ...unset },
        ranked: 500,
      };
      const last = 0x7fff_ffff_ffff_ffffn;
      const place = { before: last, from: 0n, now: 0n, score: last, id: last };
      const counts = () => tx<{ tuples: number; sequential: number }[]>`
        select
          sum(idx_tup_fetch) filter (where relname like 'message\\_words%')::int as tuples,
          sum(seq_scan)::int as sequential
        from pg_stat_xact_all_tables
        where relname like 'message\\_words%' or relname like 'messages\\_%'
      `;
      const [before] = await counts();
      const rows = await searchMessages(tx, tenantId, userId, search, place, 21);
      const [after] = await counts();
      const tuples = (after?.tuples ?? 0) - (before?.tuples ?? 0);
      return { rows: rows.length, tuples, sequential: (after?.sequential ?? 0) - (before?.sequential ?? 0) };
    });
  } finally {
    await sql.end();
  }
}
