import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Code } from '@connectrpc/connect';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { SearchService } from '#gen/serp/discuss/v1/search_service_pb.ts';
import { type App, type As, app } from './kit/app.ts';
import { rejects } from './kit/rejects.ts';

const caller: As = { userId: 1n, tenantId: 1n };
const colleague: As = { userId: 2n, tenantId: 1n };
const foreigner: As = { userId: 1n, tenantId: 2n };

describe('page tokens', () => {
  let testApp: App;
  let channelId: bigint;
  let privateId: bigint;

  const create = async (as: As, name: string, isPrivate = false) => {
    const request = { name, private: isPrivate, memberUserIds: isPrivate ? [] : [3n, 4n] };
    const { channel } = await testApp.client(ChannelService, as).createChannel(request);
    return channel?.id ?? 0n;
  };
  const isRejected = (call: Promise<unknown>) => rejects(call, Code.InvalidArgument, 'FIELD_INVALID');

  before(async () => {
    testApp = await app();
    await testApp.start();
    await testApp.start();
    privateId = await create(colleague, 'Lương tháng 12', true);
    channelId = await create(caller, 'Kho A');
    await create(caller, 'Kho B');
    for (const content of ['một', 'hai', 'ba'])
      await testApp.client(MessageService, caller).sendMessage({ channelId, content });
  });
  after(() => testApp.close());

  it('continue a list on another instance and with another page size', async () => {
    const first = await testApp.client(MessageService, caller).listMessages({ channelId, pageSize: 1 });
    const pageToken = first.nextPageToken;
    const next = await testApp
      .client(MessageService, caller, 'web', 1)
      .listMessages({ channelId, pageSize: 2, pageToken });
    assert.deepEqual(
      next.messages.map(({ content }) => content),
      ['một', 'hai'],
    );
  });

  it('are rejected if another user, tenant or method presents them', async () => {
    const browse = { query: 'Kho', pageSize: 1 };
    const { nextPageToken: pageToken } = await testApp.client(ChannelService, caller).browseChannels(browse);
    assert.notEqual(pageToken, '');
    await testApp.client(ChannelService, caller).browseChannels({ ...browse, pageToken });
    for (const as of [colleague, foreigner])
      await isRejected(testApp.client(ChannelService, as).browseChannels({ ...browse, pageToken }));
    await isRejected(testApp.client(MemberService, caller).listMembers({ channelId, pageToken }));
  });

  it('are rejected if any other argument differs', async () => {
    const client = testApp.client(MessageService, caller);
    const { nextPageToken: pageToken } = await client.listMessages({ channelId, pageSize: 1 });
    await isRejected(client.listMessages({ channelId, pageToken, withoutReplies: true }));
    await isRejected(client.listMessages({ channelId: privateId, pageToken }));
  });

  it('that a client made up do not reveal the name of a private channel', async () => {
    const forged = Buffer.from(JSON.stringify([`${privateId}`])).toString('base64url');
    for (const query of ['', 'Kho'])
      await isRejected(testApp.client(ChannelService, caller).browseChannels({ query, pageToken: forged }));
  });

  it('that hold numbers out of any range are rejected, not failed', async () => {
    const huge = Buffer.from(JSON.stringify(['9223372036854775807', '-1'])).toString('base64url');
    await isRejected(testApp.client(MemberService, caller).listMembers({ channelId, pageToken: huge }));
    const search = Buffer.from(JSON.stringify(Array(6).fill('-9223372036854775808'))).toString('base64url');
    const request = { query: 'một', pageToken: search };
    await isRejected(testApp.client(SearchService, caller).searchMessages(request));
  });
});
