import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Code } from '@connectrpc/connect';
import postgres from 'postgres';
import { BadRequestSchema } from '#gen/google/rpc/error_details_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { MessageType } from '#gen/serp/discuss/v1/message_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import {
  type FoundMessage,
  SearchMessagesRequest_Order as Order,
  SearchMatch,
  SearchService,
} from '#gen/serp/discuss/v1/search_service_pb.ts';
import { type App, type As, app } from '../../test/kit/app.ts';
import { indexed } from '../../test/kit/indexed.ts';
import { createRandom } from '../../test/kit/random.ts';
import { rejects } from '../../test/kit/rejects.ts';
import { types } from '../db/types.ts';
import { parseQuery } from './query.ts';
import { searchMessages } from './sql.ts';

const ana = { userId: 1n, tenantId: 1n };
const binh = { userId: 2n, tenantId: 1n };
const stranger = { userId: 3n, tenantId: 1n };
const foreigner = { userId: 1n, tenantId: 2n };

describe('SearchMessages', () => {
  let the: App;
  let sales: bigint;
  let stock: bigint;

  before(async () => {
    the = await app({ SEARCH_INDEX_INTERVAL_MS: '50' });
    sales = await group('Kinh doanh', ana, [2n]);
    stock = await group('Kho vận', ana);
  });
  after(() => the.close());

  const group = async (name: string, as: As, memberUserIds: bigint[] = []) => {
    const { channel } = await the
      .client(ChannelService, as)
      .createChannel({ name, memberUserIds, private: true });
    return channel?.id ?? 0n;
  };
  const send = async (channelId: bigint, content: string, as: As = ana, rest: object = {}) => {
    const { message } = await the.client(MessageService, as).sendMessage({ channelId, content, ...rest });
    return message?.id ?? 0n;
  };
  const search = async (query: string, rest: object = {}, as: As = ana) => {
    await indexed(the);
    return the.client(SearchService, as).searchMessages({ query, ...rest });
  };
  const texts = async (query: string, rest: object = {}, as: As = ana) =>
    (await search(query, rest, as)).messages.map(toText).sort();

  it('finds Vietnamese words with and without diacritics, đ included', async () => {
    await send(sales, 'Báo cáo tồn kho đã gửi cho Đặng Ðức');
    for (const query of ['bao cao', 'BÁO CÁO', 'báo', 'bảo', 'da gui', 'đang duc', 'Tồn'.normalize('NFD')])
      assert.deepEqual(await texts(query), ['Báo cáo tồn kho đã gửi cho Đặng Ðức'], query);
    assert.deepEqual(await texts('cao bang'), []);
  });

  it('finds other forms of English words, except in phrases', async () => {
    await send(sales, 'The shipments were delayed by customs');
    assert.deepEqual(await texts('shipment delay'), ['The shipments were delayed by customs']);
    assert.deepEqual(await texts('"shipment"'), []);
    assert.deepEqual(marked((await search('delays')).messages[0]), ['delayed']);
  });

  it('finds phrases as written, and no phrase across two values', async () => {
    await send(sales, 'phiếu nhập kho');
    await send(sales, 'kho nhập phiếu');
    assert.deepEqual(await texts('"nhap kho"'), ['phiếu nhập kho']);
    assert.deepEqual(await texts('nhap kho'), ['kho nhập phiếu', 'phiếu nhập kho']);
    assert.deepEqual(await texts('“phieu nhap”'), ['phiếu nhập kho']);
    assert.deepEqual(await texts('"phieu phieu"'), []);
    assert.deepEqual(await texts('"kho phieu"'), []);
  });

  it('excludes messages with words and phrases after a minus', async () => {
    await send(sales, 'hoá đơn nháp tháng tư');
    await send(sales, 'hoá đơn cuối tháng tư');
    assert.deepEqual(await texts('hoá đơn -nháp'), ['hoá đơn cuối tháng tư']);
    assert.deepEqual(await texts('hoá đơn -"cuoi thang"'), ['hoá đơn nháp tháng tư']);
    assert.deepEqual(await texts('hoá đơn -nha*'), ['hoá đơn cuối tháng tư']);
  });

  it('finds document codes whole and by consecutive parts', async () => {
    await send(sales, 'Duyệt PO-2024-001 giúp chị');
    await send(sales, 'Duyệt PO-2024-0015, gửi tới ke.toan@serp.vn');
    for (const query of ['PO-2024-001', 'po-2024-001', '2024-001', 'po 2024 001', '2024/001', 'po_2024'])
      assert.ok((await texts(query)).includes('Duyệt PO-2024-001 giúp chị'), query);
    assert.deepEqual(await texts('2024-001'), ['Duyệt PO-2024-001 giúp chị']);
    assert.equal((await texts('PO-2024-00*')).length, 2);
    assert.deepEqual(await texts('toan@serp'), ['Duyệt PO-2024-0015, gửi tới ke.toan@serp.vn']);
    assert.deepEqual(await texts('2024-002'), []);
  });

  it('finds prefixes and parts of words on request, and parts when nothing else matches', async () => {
    await send(sales, 'baocaothang PKX99120A đã ký');
    assert.deepEqual(await texts('baoc*'), ['baocaothang PKX99120A đã ký']);
    assert.equal((await texts('*caoth*')).length, 1);
    assert.deepEqual(await texts('*99120'), ['baocaothang PKX99120A đã ký']);
    const found = await search('x9912');
    assert.equal(found.matched, SearchMatch.PARTS);
    assert.deepEqual(marked(found.messages[0]), ['PKX99120A']);
    assert.equal((await search('baoc*')).matched, SearchMatch.WORDS);
  });

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

  it('retries without common English words', async () => {
    await send(sales, 'pallets arrive tomorrow');
    const found = await search('when will the pallets arrive');
    assert.equal(found.matched, SearchMatch.WITHOUT_STOP_WORDS);
    assert.deepEqual(found.messages.map(toText), ['pallets arrive tomorrow']);
  });

  it('executes hostile queries quickly, and rejects empty ones', async () => {
    const refused = ['***', '"" - ""', '!&|():*<->', '-kho', '-"kho vận"', '*ab', 'a*', 'a* b*', '👍'];
    refused.push('abc* cde* efg* ghi* ijk*', 'a '.repeat(65));
    for (const query of refused) {
      const error = await rejects(search(query), Code.InvalidArgument, 'FIELD_INVALID');
      const [details] = error.findDetails(BadRequestSchema);
      assert.equal(details?.fieldViolations[0]?.field, 'query', query);
    }
    await rejects(search(''), Code.InvalidArgument, 'FIELD_INVALID');
    await rejects(search('& '.repeat(10_000)), Code.InvalidArgument, 'FIELD_INVALID');
    const odd = [
      'ô',
      'the',
      'the of and',
      '"kho',
      `kho' or '1'='1`,
      'kho:*A & !x',
      '\\',
      '\\kho',
      'a '.repeat(64),
    ];
    for (const query of [
      ...odd,
      `${'-k '.repeat(60)} kho`,
      `${'"'.repeat(99)}kho`,
      'kho <-> vận',
      '日本',
      'ß',
      'ﬁ',
    ]) {
      const began = performance.now();
      await search(query).catch((error) => assert.equal(error.code, Code.InvalidArgument, query));
      assert.ok(performance.now() - began < 10_000, query);
    }
  });

  it('filters by channel, sender, type, time, thread and attachment', async () => {
    const began = await now();
    const first = await send(sales, 'kiểm kê lần đầu');
    await new Promise((resolve) => setTimeout(resolve, 5));
    const middle = await now();
    await send(stock, 'kiểm kê select 1', ana, { type: MessageType.CODE });
    await send(sales, 'kiểm kê lần nữa', binh);
    const reply = await send(sales, 'kiểm kê trả lời', binh, { replyToMessageId: first });
    await the.owner`
      insert into attachments
        (message_id, channel_id, tenant_id, file_name, file_size, s3_key, s3_url, created_at, updated_at)
      values (${reply}, ${sales}, 1, 'a.pdf', 1, 'k', 'u', 0, 0)
    `;
    const all = ['kiểm kê lần nữa', 'kiểm kê lần đầu', 'kiểm kê select 1', 'kiểm kê trả lời'].sort();
    assert.deepEqual(await texts('kiem ke'), all);
    assert.deepEqual(await texts('kiem ke', { channelIds: [stock] }), ['kiểm kê select 1']);
    assert.deepEqual(await texts('kiem ke', { senderIds: [2n] }), ['kiểm kê lần nữa', 'kiểm kê trả lời']);
    assert.deepEqual(await texts('kiem ke', { types: [MessageType.CODE, MessageType.IMAGE] }), [
      'kiểm kê select 1',
    ]);
    assert.deepEqual(await texts('kiem ke', { afterTime: toTime(began), beforeTime: toTime(middle) }), [
      'kiểm kê lần đầu',
    ]);
    assert.equal((await texts('kiem ke', { afterTime: toTime(middle) })).length, 3);
    assert.deepEqual(await texts('kiem ke', { beforeTime: toTime(began) }), []);
    assert.deepEqual(
      await texts('kiem ke', { rootMessageId: first }),
      ['kiểm kê lần đầu', 'kiểm kê trả lời'].sort(),
    );
    assert.deepEqual(await texts('kiem ke', { hasAttachment: true }), ['kiểm kê trả lời']);
    assert.equal((await texts('kiem ke', { hasAttachment: false })).length, 3);
  });

  it('ranks by text and then by time, or by time alone', async () => {
    const channelId = await group('Xếp hạng', ana);
    await send(channelId, 'quỹ tiền mặt');
    await send(channelId, `quỹ ${'và nhiều chuyện khác '.repeat(20)}`);
    await send(channelId, 'quỹ đầu tư');
    const ranked = await search('quy', { channelIds: [channelId] });
    assert.deepEqual(
      ranked.messages.map(({ position }) => position),
      [3n, 1n, 2n],
    );
    const newest = await search('quy', { channelIds: [channelId], order: Order.NEWEST });
    assert.deepEqual(
      newest.messages.map(({ position }) => position),
      [3n, 2n, 1n],
    );
  });

  it('returns plain text around the match with whole words marked, for any text', async () => {
    const long = `${'đầu '.repeat(100)}<script>alert("hợp đồng")</script> & ${'cuối '.repeat(100)}`;
    await send(sales, long);
    const { messages } = await search('"hop dong" dau*');
    const [found] = messages;
    assert.ok(found);
    assert.ok(long.includes(toText(found)));
    assert.ok(toText(found).length <= 240);
    const { messages: again } = await search('"hop dong"');
    assert.deepEqual(marked(again[0]), ['hợp đồng']);
    assert.ok(toText(again[0]).includes('<script>alert("hợp đồng")</script> &'));
    assert.ok(again[0]?.cutBefore && again[0].cutAfter);
    await send(sales, '👩‍👩‍👧'.repeat(100));
  });

  it('never returns what the caller may not see', async () => {
    const channelId = await group('Riêng', ana, [2n]);
    const secret = await send(channelId, 'mật khẩu két sắt');
    assert.equal((await texts('két sắt')).length, 1);
    assert.equal((await texts('két sắt', {}, binh)).length, 1);
    for (const as of [stranger, foreigner, { userId: 2n, tenantId: 2n }]) {
      assert.deepEqual(await texts('két sắt', {}, as), []);
      assert.deepEqual(await texts('*khau*', { channelIds: [channelId], senderIds: [1n] }, as), []);
    }
    await the.client(MemberService, binh).leaveChannel({ channelId });
    assert.deepEqual(await texts('két sắt', {}, binh), []);
    const messages = the.client(MessageService, ana);
    const updateMask = { paths: ['content'] };
    await messages.editMessage({ channelId, messageId: secret, content: 'mật khẩu mới', updateMask });
    assert.deepEqual(await texts('két sắt'), []);
    assert.deepEqual(await texts('mat khau moi'), ['mật khẩu mới']);
    await messages.deleteMessage({ channelId, messageId: secret });
    assert.deepEqual(await texts('mat khau moi'), []);
  });

  it('returns disjoint pages while messages are posted and deleted', async () => {
    const channelId = await group('Trang', ana);
    const ids: bigint[] = [];
    for (let index = 0; index < 30; index++) ids.push(await send(channelId, `trang số ${index}`));
    for (const order of [Order.RELEVANCE, Order.NEWEST]) {
      const filter = { channelIds: [channelId], order, pageSize: 7 };
      const seen: bigint[] = [];
      let pageToken = '';
      do {
        const page = await search('trang', { ...filter, pageToken });
        seen.push(...page.messages.map(({ messageId }) => messageId));
        pageToken = page.nextPageToken;
        await send(channelId, 'trang mới');
      } while (pageToken !== '');
      assert.equal(new Set(seen).size, seen.length);
      assert.ok(ids.every((id) => seen.includes(id)));
    }
    for (const pageToken of ['x', Buffer.from('["1"]').toString('base64url')])
      await rejects(search('trang', { pageToken }), Code.InvalidArgument, 'FIELD_INVALID');
  });

  it('continues beyond the matches of one ranked window', async () => {
    const channelId = await group('Nhiều', ana);
    await the.owner`
      insert into messages (channel_id, sender_id, tenant_id, content, created_at, updated_at)
      select ${channelId}, 1, 1, 'nghìn lẻ ' || n, 0, 0 from generate_series(1, 1203) as n
    `;
    const seen: bigint[] = [];
    let pageToken = '';
    do {
      const page = await search('nghin', { channelIds: [channelId], pageSize: 50, pageToken });
      seen.push(...page.messages.map(({ position }) => position));
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
    assert.deepEqual(
      seen.toSorted((a, b) => Number(a - b)),
      Array.from({ length: 1203 }, (_, index) => BigInt(index + 1)),
    );
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

  it('has its own rate limit', async () => {
    await the.start({ LIMIT_SEARCH_PER_MINUTE: '2', LIMIT_REDIS_TIMEOUT_MS: '10000' });
    const limited = the.client(SearchService, ana, 'web', the.instances.length - 1);
    await limited.searchMessages({ query: 'kho' });
    await limited.searchChannels({ query: 'kho' });
    await rejects(limited.searchMessages({ query: 'kho' }), Code.ResourceExhausted, 'RATE_LIMITED');
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

  const now = async () => {
    const [row] = await the.owner<{ now: bigint }[]>`select now_ms() + 1 as now`;
    await new Promise((resolve) => setTimeout(resolve, 5));
    return row?.now ?? 0n;
  };
});

describe('SearchChannels', () => {
  let the: App;
  before(async () => {
    the = await app();
    const make = (name: string, as: As, rest: object = {}) =>
      the.client(ChannelService, as).createChannel({ name, ...rest });
    await make('Báo cáo', ana);
    await make('Báo cáo quý', ana, { private: true });
    await make('Tổng hợp báo cáo', binh);
    await make('Đối soát PO-2024', binh, { memberUserIds: [1n], private: true });
    await make('Báo cáo mật', binh, { private: true });
    await make('Báo cáo', foreigner);
    await the.client(ChannelService, ana).getOrCreateDirectChannel({ userId: 2n });
  });
  after(() => the.close());

  const names = async (query: string, rest: object = {}, as: As = ana) =>
    (await the.client(SearchService, as).searchChannels({ query, ...rest })).channels.map(
      ({ channel }) => channel?.name,
    );

  it('finds names by words, prefixes and parts, ignoring diacritics, closest first', async () => {
    assert.deepEqual(await names('bao cao'), ['Báo cáo', 'Báo cáo quý', 'Tổng hợp báo cáo']);
    assert.deepEqual(await names('BÁO'), ['Báo cáo quý', 'Báo cáo', 'Tổng hợp báo cáo']);
    assert.deepEqual(await names('đố'), ['Đối soát PO-2024']);
    assert.deepEqual(await names('po-2024'), ['Đối soát PO-2024']);
    assert.deepEqual(await names('024'), ['Đối soát PO-2024']);
    assert.deepEqual(await names('cao tong'), ['Tổng hợp báo cáo']);
    assert.deepEqual(await names('ao'), []);
    assert.deepEqual(await names('%%% ao_'), []);
  });

  it('finds the caller’s channels and public groups of the tenant only', async () => {
    assert.deepEqual(await names('bao cao', { joinedOnly: true }), ['Báo cáo', 'Báo cáo quý']);
    assert.deepEqual(await names('bao cao', {}, stranger), ['Báo cáo', 'Tổng hợp báo cáo']);
    assert.deepEqual(await names('mat', {}, ana), []);
    assert.deepEqual(await names('bao cao', {}, foreigner), ['Báo cáo']);
    await the.owner`update channel_members set status = 'REMOVED' where user_id = 1 and channel_id in (select id from channels where name like 'Đối%')`;
    assert.deepEqual(await names('doi soat'), []);
  });

  it('returns the caller’s memberships, in pages', async () => {
    const client = the.client(SearchService, ana);
    const first = await client.searchChannels({ query: 'bao cao', pageSize: 2 });
    assert.deepEqual(
      first.channels.map(({ membership }) => membership?.role !== undefined),
      [true, true],
    );
    const second = await client.searchChannels({
      query: 'bao cao',
      pageSize: 2,
      pageToken: first.nextPageToken,
    });
    assert.deepEqual(
      second.channels.map(({ channel, membership }) => [channel?.name, membership]),
      [['Tổng hợp báo cáo', undefined]],
    );
    assert.equal(second.nextPageToken, '');
    await rejects(client.searchChannels({ query: '- -' }), Code.InvalidArgument, 'FIELD_INVALID');
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

function toText(message: FoundMessage | undefined): string {
  return message?.snippet.map(({ text }) => text).join('') ?? '';
}

function marked(message: FoundMessage | undefined): string[] {
  return message?.snippet.filter(({ match }) => match).map(({ text }) => text) ?? [];
}

function toTime(ms: bigint) {
  return { seconds: ms / 1000n, nanos: Number(ms % 1000n) * 1_000_000 };
}
