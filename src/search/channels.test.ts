import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Code } from '@connectrpc/connect';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { SearchService } from '#gen/serp/discuss/v1/search_service_pb.ts';
import { type App, type As, app } from '../../test/kit/app.ts';
import { rejects } from '../../test/kit/rejects.ts';

const ana = { userId: 1n, tenantId: 1n };
const binh = { userId: 2n, tenantId: 1n };
const stranger = { userId: 3n, tenantId: 1n };
const foreigner = { userId: 1n, tenantId: 2n };

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
