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
import { MAX_RESPONSE_BYTES } from '../src/rpc/response-size.ts';
import { type App, type As, app } from './kit/app.ts';

const tenantId = 1n;
const me: As = { userId: 1n, tenantId };
const colleague: As = { userId: 2n, tenantId };
const service: As = { userId: 0n, tenantId, roles: ['discuss.service'] };
const operator: As = { userId: 0n, tenantId, roles: ['discuss.admin'] };
// Its discussion was moved to the channel.
const ENTITY = { type: 'order', id: 7n };
const COUNT = 100;
const MANY_EMOJI = 20;
const MANY_USERS = 2_000;
const PINS = 50;
// The members besides the two users.
const READERS = 2 * COUNT - 2;
// Ids of nine bytes.
const LAST_ID = 9_007_199_254_740_993n;
// The largest that the contract permits: 10,000 grapheme clusters in 64 KB, and 8 KB of metadata as JSON, in the form that
// is largest in the binary codec.
const CONTENT = `kho ${'👨‍👩‍👧‍👦'.repeat(2_600)}`;
const METADATA = JSON.stringify({ a: Array(4_000).fill(0) });

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

  it('of every paged list are at most 3 MB, and all pages together have each row once', async () => {
    const paged = allMethods(the).filter(({ output }) => output.field['nextPageToken'] !== undefined);
    assert.deepEqual(new Set(listings.map(({ method }) => `${method}`)), new Set(paged.map(String)));
    for (const { method, isLarge, pageSize, rows, call } of listings) {
      const keys: string[] = [];
      let isShortened = false;
      for (let pageToken: string | undefined = ''; pageToken !== undefined; ) {
        const page = await call(pageToken);
        for (const bytes of page.bytes) assert.ok(bytes <= MAX_RESPONSE_BYTES, `${method}: ${bytes} bytes`);
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
    const page = { pivot: 1n << 62n, older: COUNT + 1, newer: 1, withoutReplies: false };
    const rows = await db.run(scope, (sql) => listHistory(sql, caller, channelId, page));
    const { messages } = await the.client(MessageService, me).listMessages({ channelId, pageSize: COUNT });
    assert.ok(rows.length > messages.length && rows.length < COUNT / 2, `${rows.length} rows`);
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
      large(SearchService.method.searchChannels, { pageSize: 50, query: 'kho' }, COUNT),
      small(
        SearchService.method.searchMessages,
        { pageSize: 50, query: 'kho', order: SearchMessagesRequest_Order.NEWEST },
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

/** Channels, members, messages and activities that are as large as the contract permits. */
async function fill(the: App): Promise<{ channelId: bigint; rootMessageId: bigint }> {
  const channels = Array.from({ length: COUNT }, (_, index) =>
    the.client(ChannelService, me).createChannel({ name: `Kho ${index}`, memberUserIds: [colleague.userId] }),
  );
  const ids = (await Promise.all(channels)).map(({ channel }) => channel?.id ?? 0n);
  const [channelId = 0n, ...others] = ids;
  const client = the.client(MessageService, me);
  const post = async (replyToMessageId = 0n) => {
    const { message } = await client.sendMessage({ channelId, content: 'kho', replyToMessageId });
    return message?.id ?? 0n;
  };
  const roots = await Promise.all(Array.from({ length: COUNT }, () => post()));
  const rootMessageId = roots[0] ?? 0n;
  await Promise.all(roots.map(() => post(rootMessageId)));
  await Promise.all(roots.map((root) => client.followThread({ channelId, rootMessageId: root })));
  for (const messageId of roots.slice(0, PINS)) await client.pinMessage({ channelId, messageId });
  await Promise.all(others.map((id) => client.sendMessage({ channelId: id, content: 'x' })));
  const recording = the.client(ActivityService, service);
  await recording.recordActivities({
    activities: Array.from({ length: 2 * COUNT }, () => ({
      userIds: [me.userId],
      type: 'TASK_ASSIGNED',
      channelId,
      entity: ENTITY,
      description: 'x',
    })),
  });
  await the.owner`
    insert into channel_entity_aliases (tenant_id, entity_type, entity_id, channel_id, created_at)
    values (${tenantId}, ${ENTITY.type}, ${ENTITY.id}, ${channelId}, 1)
  `;
  await the.owner`
    insert into operations (tenant_id, kind, user_id, created_at, created_by, updated_at, due_at, finished_at, state)
    select 77, 'ERASE_USER', i, 1, 1, 1, 1, now_ms(), 'CANCELLED' from generate_series(1, ${2 * COUNT}) as i
  `;
  await the.owner`
    insert into legal_holds (tenant_id, user_id, reason, placed_at, placed_by)
    select 77, i, repeat('𝄞', 500), 1, 1 from generate_series(1, ${2 * COUNT}) as i
  `;
  await the.owner`
    insert into retention_rules (tenant_id, channel_id, deleted_days, updated_at)
    select 77, i, 5, 1 from generate_series(1, ${2 * COUNT}) as i
  `;
  await the.owner`
    insert into retention_runs (started_at, finished_at, lease_until, instance)
    select 1, 1, 1, repeat('x', 100) from generate_series(1, ${2 * COUNT})
  `;
  await the.owner`
    insert into key_rotations (key_id, replaces_keys, started_at, finished_at, instance)
    select repeat('x', 64), true, 1, 1, repeat('x', 100) from generate_series(1, ${2 * COUNT})
  `;
  await the.owner`
    select append_audit_event(78, 'operator', 1, 'X', jsonb_build_object('reason', repeat('𝄞', 500)))
    from generate_series(1, ${2 * COUNT})
  `;
  await enlarge(the.owner, channelId, rootMessageId);
  return { channelId, rootMessageId };
}

async function enlarge(sql: App['owner'], channelId: bigint, rootMessageId: bigint): Promise<void> {
  await sql`update channels set description = repeat('𝄞', 2000), metadata = ${METADATA}::text::jsonb`;
  await sql`update channel_members set metadata = ${METADATA}::text::jsonb`;
  await sql`
    insert into channel_members
      (channel_id, user_id, tenant_id, role, status, metadata, read_post_seq, joined_at, created_at, updated_at)
    select
      ${channelId}, ${LAST_ID}::bigint - n, ${tenantId}, 'MEMBER', 'ACTIVE',
      jsonb_build_object('nickname', repeat('𝄞', 100)), 1000, 1, 1, 1
    from generate_series(1, ${READERS}) as n
  `;
  await sql`
    update messages
    set
      content = ${CONTENT},
      metadata = ${METADATA}::text::jsonb,
      mentions = array(select ${LAST_ID}::bigint - n from generate_series(1, 100) as n)
    where channel_id = ${channelId}
  `;
  await sql`
    insert into attachments
      (message_id, channel_id, tenant_id, uploader_id, file_name, file_size, file_type, s3_key, s3_url, preview,
       created_at, updated_at)
    select
      ${rootMessageId}, ${channelId}, ${tenantId}, ${me.userId}, repeat('𝄞', 200), 1, repeat('x', 100), 'x', 'x',
      convert_to(repeat('x', 500), 'UTF8'), n, 1
    from generate_series(1, ${2 * COUNT}) as n
  `;
  await sql`
    insert into message_edits (tenant_id, message_id, version, channel_id, content, mentions, metadata, created_at)
    select m.tenant_id, m.id, n, m.channel_id, m.content, m.mentions, m.metadata, 1
    from messages m
    cross join generate_series(1, ${COUNT}) as n
    where m.id = ${rootMessageId}
  `;
  await sql`
    update messages
    set reactions = (
      select jsonb_agg(jsonb_build_object('emoji', ':' || e || ':', 'users', u.users))
      from generate_series(1, ${MANY_EMOJI}) as e
      cross join (
        select jsonb_agg(${LAST_ID}::bigint - n) as users from generate_series(1, ${MANY_USERS}) as n
      ) as u
    )
    where id = ${rootMessageId}
  `;
  await sql`
    update activity_feed
    set title = repeat('𝄞', 255), description = repeat('𝄞', 1000), metadata = ${METADATA}::text::jsonb
  `;
}

/** An item as text that identifies it. */
function toText(item: unknown): string {
  return JSON.stringify(item, (_, value) => (typeof value === 'bigint' ? `${value}` : value));
}
