import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Code } from '@connectrpc/connect';
import { BadRequestSchema } from '#gen/google/rpc/error_details_pb.ts';
import { SearchMatch } from '#gen/serp/discuss/v1/search_service_pb.ts';
import { type App, app } from '../../test/kit/app.ts';
import { rejects } from '../../test/kit/rejects.ts';
import { marked, searchFixture, toText } from '../../test/kit/search-fixture.ts';

const ana = { userId: 1n, tenantId: 1n };

describe('words of a search', () => {
  let the: App;
  let sales: bigint;

  before(async () => {
    the = await app();
    sales = await group('Kinh doanh', ana, [2n]);
  });
  after(() => the.close());

  const { group, send, search, texts } = searchFixture(() => the);

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
});
