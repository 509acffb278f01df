import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import {
  type DescMethod,
  type DescMethodUnary,
  type MessageInitShape,
  toBinary,
  toJsonString,
} from '@bufbuild/protobuf';
import type { Client } from '@connectrpc/connect';
import { ActivityService } from '#gen/serp/discuss/v1/activity_service_pb.ts';
import { AdminService } from '#gen/serp/discuss/v1/admin_service_pb.ts';
import { AttachmentService } from '#gen/serp/discuss/v1/attachment_service_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { PresenceService } from '#gen/serp/discuss/v1/presence_service_pb.ts';
import { SearchMessagesRequest_Order, SearchService } from '#gen/serp/discuss/v1/search_service_pb.ts';
import { listHistory } from '../src/message/history-sql.ts';
import { routes } from '../src/routes.ts';
import { MAX_PAGE_BYTES } from '../src/rpc/response-size.ts';
import { type App, type As, app } from './kit/app.ts';
import {
  COUNT,
  colleague,
  ENTITY,
  fill,
  MANY_EMOJI,
  MANY_USERS,
  me,
  PINS,
  READERS,
  service,
  tenantId,
} from './response-rows.ts';

const operator: As = { userId: 0n, tenantId, roles: ['discuss.admin'] };

// With at most one message and a token besides the items.
const MAX_BYTES = MAX_PAGE_BYTES + 400_000;

type Listing = {
  readonly method: DescMethod;
  /** Whether a page of `pageSize` rows would be above the maximum. */
  readonly isLarge: boolean;
  readonly pageSize: number;
  readonly rows: number | undefined;
  readonly call: (pageToken: string) => Promise<{ bytes: number[]; keys: string[]; nextPageToken: string }>;
};

describe('responses', () => {
  let the: App;
  let channelId: bigint;
  let rootMessageId: bigint;
  let listings: readonly Listing[];

  before(async () => {
    the = await app({ CHANNEL_READERS_MAX_MEMBERS: '1000' });
    ({ channelId, rootMessageId } = await fill(the));
    listings = toListings();
  });
  after(() => the.close());

  it('of every paged list have at most 1 MB of items, and all pages together have each row once', async () => {
    const paged = allMethods(the).filter(({ output }) => output.field['nextPageToken'] !== undefined);
    assert.deepEqual(new Set(listings.map(({ method }) => `${method}`)), new Set(paged.map(String)));
    for (const { method, isLarge, pageSize, rows, call } of listings) {
      const keys: string[] = [];
      let isShortened = false;
      for (let pageToken: string | undefined = ''; pageToken !== undefined; ) {
        const page = await call(pageToken);
        for (const bytes of page.bytes) assert.ok(bytes <= MAX_BYTES, `${method}: ${bytes} bytes`);
        keys.push(...page.keys);
        pageToken = page.nextPageToken === '' ? undefined : page.nextPageToken;
        isShortened ||= pageToken !== undefined && page.keys.length < pageSize;
      }
      if (rows === undefined) continue;
      assert.equal(isShortened, isLarge, `${method}: whether pages end before page_size`);
      assert.equal(keys.length, rows, `${method}`);
      assert.equal(new Set(keys).size, rows, `${method}`);
    }
  });

  it('are read from the database only as far as they fit', async () => {
    const { db } = the.instances[0]?.deps ?? assert.fail();
    const { userId } = me;
    const caller = { kind: 'user', tenantId, userId, name: '', roles: new Set<string>() } as const;
    const scope = { caller, signal: new AbortController().signal, deadline: undefined };
    const page = { pivot: 1n << 62n, older: 2 * COUNT, newer: 1, withoutReplies: false };
    const rows = await db.run(scope, (sql) => listHistory(sql, caller, channelId, page));
    const { messages } = await the.client(MessageService, me).listMessages({ channelId, pageSize: COUNT });
    assert.ok(rows.length > messages.length && rows.length < COUNT, `${rows.length} rows`);
  });

  it('around a message contain it, and state on which sides messages are left out', async () => {
    const client = the.client(MessageService, me);
    const all = await readIds(client, channelId);
    const middle = all[Math.floor(all.length / 2)] ?? 0n;
    const page = await client.listMessages({
      channelId,
      pageSize: COUNT,
      position: { case: 'aroundMessageId', value: middle },
    });
    const ids = page.messages.map(({ id }) => id);
    const first = all.indexOf(ids[0] ?? 0n);
    assert.deepEqual(ids, all.slice(first, first + ids.length));
    assert.ok(ids.length < COUNT);
    assert.ok(Math.abs(2 * ids.indexOf(middle) - ids.length) <= 2, 'as many before as after');
    assert.deepEqual([page.hasOlder, page.hasNewer], [true, true]);
  });

  it('without pages have no list but those with few small items', () => {
    const lists = allMethods(the)
      .filter(({ output }) => output.field['nextPageToken'] === undefined)
      .flatMap(({ output }) => output.fields.filter(({ fieldKind }) => fieldKind === 'list'))
      .map((field) => `${field.parent.name}.${field.name}`);
    assert.deepEqual(lists.sort(), BOUNDED);
  });

  function toListings(): readonly Listing[] {
    const message = { channelId, messageId: rootMessageId };
    return [
      large(ChannelService.method.listChannels, { pageSize: COUNT }, COUNT),
      {
        ...small(ChannelService.method.listTenantChannels, { pageSize: COUNT }, COUNT, service),
        isLarge: true,
      },
      large(ChannelService.method.browseChannels, { pageSize: COUNT, query: 'kho' }, COUNT),
      large(SearchService.method.searchChannels, { pageSize: COUNT, query: 'kho' }, COUNT),
      small(
        SearchService.method.searchMessages,
        { pageSize: COUNT, query: 'kho', order: SearchMessagesRequest_Order.NEWEST },
        2 * COUNT,
      ),
      small(MemberService.method.listMembers, { pageSize: COUNT, channelId }, 2 * COUNT),
      large(MessageService.method.listMessages, { pageSize: COUNT, channelId }, 2 * COUNT),
      large(MessageService.method.listThread, { pageSize: COUNT, channelId, rootMessageId }, COUNT),
      large(MessageService.method.listThreads, { pageSize: COUNT }, COUNT),
      small(MessageService.method.listReactions, { pageSize: 1_000, ...message }, MANY_EMOJI * MANY_USERS),
      large(ActivityService.method.listActivities, { pageSize: COUNT }, 2 * COUNT),
      large(ActivityService.method.listEntityActivities, { pageSize: COUNT, entity: ENTITY }, 2 * COUNT),
      large(MessageService.method.listPins, { pageSize: PINS, channelId }, PINS),
      large(MessageService.method.listEdits, { pageSize: COUNT, ...message }, COUNT),
      large(ChannelService.method.listTrendingChannels, { pageSize: COUNT }, COUNT),
      small(MemberService.method.listReaders, { pageSize: 1_000, ...message }, READERS),
      small(MemberService.method.getUnreadSummary, { pageSize: 5_000 }, COUNT, colleague),
      small(PresenceService.method.listOnline, { pageSize: COUNT, channelId }, undefined),
      small(AttachmentService.method.listAttachments, { pageSize: COUNT, channelId }, 2 * COUNT),
      small(AdminService.method.listHolds, { pageSize: COUNT, tenantId: 77n }, 2 * COUNT, operator),
      small(AdminService.method.listRetentionRuns, { pageSize: COUNT }, 2 * COUNT, operator),
      small(AdminService.method.listKeyRotations, { pageSize: COUNT }, 2 * COUNT, operator),
      small(AdminService.method.listRetentionRules, { pageSize: COUNT, tenantId: 77n }, 2 * COUNT, operator),
      small(AdminService.method.listAuditEvents, { pageSize: COUNT, tenantId: 78n }, undefined, operator),
      small(AdminService.method.listOperations, { pageSize: COUNT, tenantId: 77n }, 2 * COUNT, operator),
      small(AdminService.method.reconcileCounters, { pageSize: 100 }, undefined, operator),
    ];
  }

  function large<M extends DescMethodUnary>(method: M, request: MessageInitShape<M['input']>, rows: number) {
    return { ...small(method, request, rows), isLarge: true };
  }

  function small<M extends DescMethodUnary>(
    method: M,
    request: MessageInitShape<M['input']>,
    rows: number | undefined,
    as = me,
  ): Listing {
    const transport = the.transport(as, 'web', 0);
    return {
      method,
      isLarge: false,
      pageSize: Number(Reflect.get(request, 'pageSize')),
      rows,
      call: async (pageToken) => {
        const input = { ...request, pageToken };
        const { message } = await transport.unary(method, undefined, 60_000, undefined, input);
        const field = method.output.fields.find(({ fieldKind }) => fieldKind === 'list');
        assert.ok(field?.fieldKind === 'list');
        const items: unknown = Reflect.get(message, field.localName);
        assert.ok(Array.isArray(items));
        return {
          bytes: [
            toBinary(method.output, message).length,
            Buffer.byteLength(toJsonString(method.output, message)),
          ],
          keys: items.map((item) => toText(item)),
          nextPageToken: String(Reflect.get(message, 'nextPageToken')),
        };
      },
    };
  }
});

// Lists of at most 1,000 items of some 100 bytes, the reactions of one message, and batches, which name the items that are
// left out to stay below the maximum (src/message/batch.test.ts, src/channel/batch.test.ts). An export splits its rows by size
// (src/export/rpc.test.ts).
const BOUNDED: readonly string[] = [
  'AddMembersResponse.added',
  'AddReactionResponse.reactions',
  'BatchGetChannelsResponse.entries',
  'BatchGetChannelsResponse.missing',
  'BatchGetChannelsResponse.remaining',
  'BatchGetMessagesResponse.entries',
  'BatchGetMessagesResponse.missing_message_ids',
  'BatchGetMessagesResponse.remaining_message_ids',
  'BatchSendMessagesResponse.outcomes',
  'CreateUploadResponse.parts',
  'EditMessageResponse.ignored_mention_user_ids',
  'EnsurePartitionsResponse.created_partitions',
  'ExportChannelResponse.files',
  'ExportUserResponse.files',
  'GetActivityCountsResponse.entries',
  'GetPollResponse.own_option_ids',
  'GetPresenceResponse.users',
  'GetStatsResponse.tables',
  'ReconcileAttachmentsResponse.missing_attachment_ids',
  'ReconcileAttachmentsResponse.unknown_keys',
  'RemoveReactionResponse.reactions',
  'RunRetentionResponse.dropped_partitions',
  'SendMessageResponse.ignored_mention_user_ids',
  'TransferOwnershipResponse.members',
];

function allMethods(the: App): readonly DescMethod[] {
  const instance = the.instances[0];
  assert.ok(instance);
  return routes(instance.deps).flatMap(({ service: { methods } }) => methods);
}

async function readIds(client: Client<typeof MessageService>, channelId: bigint): Promise<bigint[]> {
  const ids: bigint[] = [];
  for (let pageToken = ''; ; ) {
    const page = await client.listMessages({ channelId, pageSize: COUNT, pageToken });
    ids.unshift(...page.messages.map(({ id }) => id));
    if (page.nextPageToken === '') return ids;
    pageToken = page.nextPageToken;
  }
}

/** An item as text that identifies it. */
function toText(item: unknown): string {
  return JSON.stringify(item, (_, value) => (typeof value === 'bigint' ? `${value}` : value));
}
