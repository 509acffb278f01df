import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type DescMethodUnary, getOption } from '@bufbuild/protobuf';
import { Code } from '@connectrpc/connect';
import { BadRequestSchema } from '#gen/google/rpc/error_details_pb.ts';
import { ActivityService } from '#gen/serp/discuss/v1/activity_service_pb.ts';
import { AdminService } from '#gen/serp/discuss/v1/admin_service_pb.ts';
import { AttachmentService } from '#gen/serp/discuss/v1/attachment_service_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { Access, access, page_size as pageSizeOption } from '#gen/serp/discuss/v1/options_pb.ts';
import { PresenceService } from '#gen/serp/discuss/v1/presence_service_pb.ts';
import { SearchService } from '#gen/serp/discuss/v1/search_service_pb.ts';
import { type App, type As, app } from './kit/app.ts';
import { createRandom } from './kit/random.ts';
import { rejects } from './kit/rejects.ts';

type Page<T> = { readonly items: readonly T[]; readonly nextPageToken: string };
type List<T> = (request: { pageSize: number; pageToken: string }) => Promise<Page<T>>;

const user = (userId: bigint): As => ({ userId, tenantId: 1n });
const [ana, binh] = [user(1n), user(2n)];
const operator: As = { userId: 0n, tenantId: 0n, roles: ['discuss.admin'] };
const service: As = { userId: 0n, tenantId: 1n, roles: ['discuss.service'] };
const services = [
  ActivityService,
  AdminService,
  AttachmentService,
  ChannelService,
  MemberService,
  MessageService,
  PresenceService,
  SearchService,
];
const entity = { type: 'order', id: 1n };
const ROWS = 23;
const random = createRandom(1758);

describe('lists', () => {
  let testApp: App;
  let channelId: bigint;
  let messageIds: bigint[];
  let channelIds: bigint[];

  const messages = (as: As) => testApp.client(MessageService, as);
  const createChannel = async (name: string, memberUserIds: bigint[]) => {
    const { channel } = await testApp.client(ChannelService, binh).createChannel({ name, memberUserIds });
    return channel?.id ?? 0n;
  };
  const post = async (id: bigint) => {
    const { message } = await messages(binh).sendMessage({ channelId: id, content: 'kho' });
    return message?.id ?? 0n;
  };
  const messageId = () => messageIds[0] ?? 0n;

  before(async () => {
    testApp = await app({ CHANNEL_READERS_MAX_MEMBERS: '1000', CHANNEL_NOTICES: 'false' });
    channelId = await createChannel(
      'Kho vận',
      Array.from({ length: 120 }, (_, index) => BigInt(index + 1)),
    );
    messageIds = await Promise.all(Array.from({ length: 120 }, () => post(channelId)));
    channelIds = await Promise.all(
      Array.from({ length: ROWS }, (_, index) => createChannel(`Kho ${index}`, [1n])),
    );
    await testApp
      .client(ChannelService, service)
      .getOrCreateTopicChannel({ entity, name: 'Đơn 1', memberUserIds: [1n] });
    for (const id of channelIds) for (let sent = random.below(3); sent >= 0; sent -= 1) await post(id);
  });
  after(() => testApp.close());

  describe('page_size', () => {
    const methods = services.flatMap(({ methods }) =>
      methods
        .filter((method): method is DescMethodUnary => method.methodKind === 'unary')
        .filter(({ input }) => input.fields.some(({ name }) => name === 'page_size')),
    );
    const call = async (method: DescMethodUnary, pageSize: number): Promise<object> => {
      const transport = testApp.transport(callerOf(method), 'grpc', 0);
      const request = {
        channelId,
        messageId: messageId(),
        rootMessageId: messageId(),
        query: 'kho',
        entity,
        tenantId: 1n,
        pageSize,
      };
      const { message } = await transport.unary(method, undefined, undefined, undefined, request);
      return message;
    };

    for (const method of methods) {
      it(`of ${method.name} above the maximum is lowered, and below 0 rejected`, async () => {
        const field = method.input.fields.find(({ name }) => name === 'page_size');
        assert.ok(field);
        const { maxSize } = getOption(field, pageSizeOption);
        const rowCounts = Object.values(await call(method, 2 ** 31 - 1)).map((value) =>
          Array.isArray(value) ? value.length : 0,
        );
        assert.ok(Math.max(...rowCounts) <= maxSize, `${rowCounts}`);
        const error = await rejects(call(method, -1), Code.InvalidArgument, 'FIELD_INVALID');
        const fields = error
          .findDetails(BadRequestSchema)
          .flatMap(({ fieldViolations }) => fieldViolations.map(({ field }) => field));
        assert.deepEqual(fields, ['page_size']);
      });
    }

    it('of 101 returns 100 of 120 messages and members', async () => {
      const page = await messages(ana).listMessages({ channelId, pageSize: 101 });
      assert.equal(page.messages.length, 100);
      const { members } = await testApp
        .client(MemberService, ana)
        .listMembers({ channelId, pageSize: 2 ** 31 - 1 });
      assert.equal(members.length, 100);
    });
  });

  it('ListReaders returns every reader once, in pages of any size', async () => {
    const readers = Array.from({ length: ROWS }, (_, index) => BigInt(index + 3));
    const last = messageIds.at(-1) ?? 0n;
    for (const reader of readers)
      await testApp.client(MemberService, user(reader)).markRead({ channelId, messageId: last });
    const list: List<bigint> = async (page) => {
      const response = await testApp
        .client(MemberService, binh)
        .listReaders({ channelId, messageId: messageId(), ...page });
      return { items: response.userIds, nextPageToken: response.nextPageToken };
    };
    await assertPages(list, readers);
  });

  it('ListPins returns every pin once, also if messages are pinned meanwhile', async () => {
    const pinned = messageIds.filter((_, index) => index % 6 === 0).slice(0, ROWS);
    for (const id of pinned) await messages(binh).pinMessage({ channelId, messageId: id });
    const list: List<bigint> = async (page) => {
      const response = await messages(ana).listPins({ channelId, ...page });
      return { items: response.messages.map(({ id }) => id), nextPageToken: response.nextPageToken };
    };
    await assertPages(list, pinned.toReversed());
    const unpinned = messageIds.filter((id) => !pinned.includes(id));
    let pins = 0;
    const pinAnother = async () => {
      await messages(binh).pinMessage({ channelId, messageId: unpinned[pins] ?? 0n });
      pins += 1;
    };
    await assertPages(list, pinned.toReversed(), pinAnother, 1);
  });

  it('ListEdits returns every version once, also if the message is edited meanwhile', async () => {
    const id = messageId();
    let edits = 0;
    const edit = async () => {
      edits += 1;
      const updateMask = { paths: ['content'] };
      await messages(binh).editMessage({ channelId, messageId: id, content: `kho ${edits}`, updateMask });
    };
    while (edits < ROWS) await edit();
    const list: List<number> = async (page) => {
      const response = await messages(ana).listEdits({ channelId, messageId: id, ...page });
      return {
        items: response.versions.map(({ version }) => version),
        nextPageToken: response.nextPageToken,
      };
    };
    const versions = Array.from({ length: ROWS }, (_, index) => ROWS - index);
    await assertPages(list, versions);
    await assertPages(list, versions, edit, 1);
  });

  describe('while channels get messages between the pages', () => {
    const postAnywhere = async () => void (await post(random.pick(channelIds)));
    const assertOrder = async (list: List<bigint>, requests: number) => {
      for (let walk = 0; walk < requests; walk += 1) {
        const { items } = await list({ pageSize: 100, pageToken: '' });
        await assertPages(list, items, postAnywhere, 1);
      }
    };

    it('GetUnreadSummary returns every channel once, in the order of the first page', async () => {
      const list: List<bigint> = async (page) => {
        const response = await testApp.client(MemberService, ana).getUnreadSummary(page);
        const isFirst = page.pageToken === '';
        assert.equal(response.totalUnreadCount > 0n, isFirst);
        return {
          items: response.entries.map((entry) => entry.channelId),
          nextPageToken: response.nextPageToken,
        };
      };
      const { items } = await list({ pageSize: 100, pageToken: '' });
      assert.deepEqual(new Set(items), new Set([channelId, ...channelIds]));
      await assertOrder(list, 4);
    });

    it('ListTrendingChannels returns every group once, in the order of the first page', async () => {
      const list: List<bigint> = async (page) => {
        const response = await testApp.client(ChannelService, ana).listTrendingChannels(page);
        for (const { recentMessageCount } of response.entries) assert.ok(recentMessageCount > 0);
        return {
          items: response.entries.map(({ channel }) => channel?.id ?? 0n),
          nextPageToken: response.nextPageToken,
        };
      };
      const { items } = await list({ pageSize: 100, pageToken: '' });
      assert.deepEqual(new Set(items), new Set([channelId, ...channelIds]));
      await assertOrder(list, 4);
    });

    it('a group that became private is left out of the following pages', async () => {
      const client = testApp.client(ChannelService, user(999n));
      const first = await client.listTrendingChannels({ pageSize: 5 });
      const { entries } = await client.listTrendingChannels({ pageSize: 100 });
      const hidden = entries.at(-1)?.channel?.id ?? 0n;
      await testApp
        .client(ChannelService, binh)
        .updateChannel({ channelId: hidden, private: true, updateMask: { paths: ['private'] } });
      const next = await client.listTrendingChannels({ pageSize: 100, pageToken: first.nextPageToken });
      assert.equal(next.entries.length, entries.length - 6);
      assert.ok(next.entries.every(({ channel }) => channel?.id !== hidden));
    });
  });
});

function callerOf(method: DescMethodUnary): As {
  const allowed = getOption(method, access);
  if (allowed === Access.OPERATOR) return operator;
  return allowed === Access.SERVICE ? service : ana;
}

/** Reads a list in pages of random sizes, several times, and asserts that it is `expected`. */
async function assertPages<T>(
  list: List<T>,
  expected: readonly T[],
  between: () => Promise<void> = async () => {},
  walks = 5,
): Promise<void> {
  for (let walk = 0; walk < walks; walk += 1) {
    const items: T[] = [];
    let pageToken = '';
    do {
      const pageSize = 1 + random.below(expected.length);
      const page = await list({ pageSize, pageToken });
      assert.ok(page.items.length <= pageSize);
      items.push(...page.items);
      pageToken = page.nextPageToken;
      if (pageToken !== '') await between();
    } while (pageToken !== '');
    assert.deepEqual(items, expected, `seed ${random.seed}`);
  }
}
