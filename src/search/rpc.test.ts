import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Code } from '@connectrpc/connect';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { MessageType } from '#gen/serp/discuss/v1/message_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import {
  SearchMessagesRequest_Order as Order,
  SearchService,
} from '#gen/serp/discuss/v1/search_service_pb.ts';
import { type App, app } from '../../test/kit/app.ts';
import { rejects } from '../../test/kit/rejects.ts';
import { marked, searchFixture, toText } from '../../test/kit/search-fixture.ts';

const ana = { userId: 1n, tenantId: 1n };
const binh = { userId: 2n, tenantId: 1n };
const stranger = { userId: 3n, tenantId: 1n };
const foreigner = { userId: 1n, tenantId: 2n };

describe('SearchMessages', () => {
  let the: App;
  let sales: bigint;
  let stock: bigint;

  before(async () => {
    the = await app();
    sales = await group('Kinh doanh', ana, [2n]);
    stock = await group('Kho vận', ana);
  });
  after(() => the.close());

  const { group, send, search, texts } = searchFixture(() => the);

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

  it('has its own rate limit', async () => {
    await the.start({ LIMIT_SEARCH_PER_MINUTE: '2', LIMIT_REDIS_TIMEOUT_MS: '10000' });
    const limited = the.client(SearchService, ana, 'web', the.instances.length - 1);
    await limited.searchMessages({ query: 'kho' });
    await limited.searchChannels({ query: 'kho' });
    await rejects(limited.searchMessages({ query: 'kho' }), Code.ResourceExhausted, 'RATE_LIMITED');
  });

  const now = async () => {
    const [row] = await the.owner<{ now: bigint }[]>`select now_ms() + 1 as now`;
    await new Promise((resolve) => setTimeout(resolve, 5));
    return row?.now ?? 0n;
  };
});

function toTime(ms: bigint) {
  return { seconds: ms / 1000n, nanos: Number(ms % 1000n) * 1_000_000 };
}
