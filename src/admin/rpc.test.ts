import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Code } from '@connectrpc/connect';
import { AdminService } from '#gen/serp/discuss/v1/admin_service_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, type As, app, CONCURRENT } from '../../test/kit/app.ts';
import { assertNothingToRepair, reconcile } from '../../test/kit/reconcile.ts';
import { rejects } from '../../test/kit/rejects.ts';

const user = (id: number, tenantId = 1n): As => ({ userId: BigInt(id), tenantId });
const [lan, minh, thu] = [user(1), user(2), user(3)];
const crm = { userId: 0n, tenantId: 1n, roles: ['discuss.service'] };
const operator = { userId: 0n, tenantId: 0n, roles: ['discuss.admin'] };

/** Each kind of number, and how it gets wrong. */
const damages: readonly (readonly [kind: string, statement: string])[] = [
  ['channels.member_count', 'update channels set member_count = 99'],
  ['channels.message_count', 'update channels set message_count = message_count - 1'],
  ['channels.last_message_at', 'update channels set last_message_at = null'],
  ['channels.last_message_at', 'update channels set last_message_at = last_message_at + 5'],
  ['channels.last_message_id', 'update channels set last_message_id = last_message_id - 1'],
  ['channels.post_seq', 'update channels set post_seq = post_seq + 1000000000000'],
  ['channels.post_seq', 'update channels set post_seq = post_seq - 2'],
  ['channels.event_seq', 'update channels set event_seq = event_seq - 3'],
  ['deleted_posts', 'delete from deleted_posts'],
  [
    'deleted_posts',
    `insert into deleted_posts select channel_id, post_seq, tenant_id, sender_id from messages
     on conflict do nothing`,
  ],
  ['channel_members.read_post_seq', 'update channel_members set read_post_seq = read_post_seq + 1'],
  ['channel_members.own_posts', 'update channel_members set own_posts = own_posts + 2'],
  ['channel_members.own_posts_read', 'update channel_members set own_posts_read = own_posts_read + 1'],
  ['channel_members.unread_count', 'update channel_members set unread_count = 77'],
  ['thread_followers.replies', 'update thread_followers set replies = replies + 1'],
  ['thread_followers.first_reply_id', 'update thread_followers set first_reply_id = null where user_id != 2'],
  ['messages.thread_count', 'update messages set thread_count = 9'],
  ['messages.thread_user_count', 'update messages set thread_user_count = thread_user_count + 1'],
  ['messages.thread_users', "update messages set thread_users = '{7,8}'"],
  ['messages.last_reply_at', 'update messages set last_reply_at = 1'],
];

describe('AdminService', () => {
  let the: App;
  let channelId = 0n;

  before(async () => {
    // Nothing is settled but by the test, or what is wrong would spread.
    the = await app({ ...CONCURRENT, UNREAD_UPDATE_INTERVAL_MS: '0' });
    channelId = await conversation(lan);
    await conversation(user(1, 2n));
    await the.owner`select settle_unread(1000)`;
  });
  after(() => the.close());

  const messages = (as: As) => the.client(MessageService, as);

  /** A channel with messages, replies, deleted ones of both, notices and markers here and there. */
  async function conversation(as: As): Promise<bigint> {
    const { tenantId } = as;
    const [second, third] = [user(2, tenantId), user(3, tenantId)];
    const { channel } = await the
      .client(ChannelService, as)
      .createChannel({ name: 'Kho', memberUserIds: [2n] });
    const id = channel?.id ?? 0n;
    const send = async (by: As, replyToMessageId = 0n) => {
      const { message } = await messages(by).sendMessage({ channelId: id, content: 'tin', replyToMessageId });
      return message?.id ?? 0n;
    };
    const root = await send(as);
    await the.client(MemberService, as).addMembers({ channelId: id, userIds: [3n, 4n] });
    const gone = await send(second, root);
    for (const by of [third, as, second, third]) await send(by, root);
    await messages(as).deleteMessage({ channelId: id, messageId: gone });
    const deleted = await send(second);
    await messages(second).deleteMessage({ channelId: id, messageId: deleted });
    await the.client(MemberService, second).markRead({ channelId: id, messageId: gone });
    await the.client(MemberService, third).markRead({ channelId: id, all: true });
    await the.client(MemberService, user(4, tenantId)).leaveChannel({ channelId: id });
    await send(as);
    return id;
  }

  /** All that is stored of channels, but for the versions by which unread numbers are settled. */
  const dump = async (id = 0n) => {
    const rows = await the.owner<{ text: string }[]>`
      select (to_jsonb(c) - 'unread_version' - 'settled_version')::text as text from channels c where c.id = ${id} or ${id} = 0
      union all
      select to_jsonb(m)::text from messages m where m.channel_id = ${id} or ${id} = 0
      union all
      select (to_jsonb(m) - case when m.status = 'LEFT' then 'unread_count' else '' end)::text
      from channel_members m
      where m.channel_id = ${id} or ${id} = 0
      union all
      select (to_jsonb(d) - 'sender_id')::text from deleted_posts d where d.channel_id = ${id} or ${id} = 0
      union all
      select to_jsonb(f)::text from thread_followers f where f.channel_id = ${id} or ${id} = 0
      order by 1
    `;
    return rows.map(({ text }) => text);
  };

  /** A repair increments the version of a membership. */
  const withoutVersions = (rows: readonly string[]) => rows.map((row) => row.replace(/"version": \d+, /, ''));

  it('finds nothing to repair in consistent data', async () => {
    const before = await dump();
    await assertNothingToRepair(the);
    assert.deepEqual(await dump(), before);
  });

  for (const [kind, statement] of damages) {
    it(`finds and repairs ${kind} after: ${statement.replace(/\s+/g, ' ')}`, async () => {
      await the.owner`select settle_unread(1000)`;
      const before = await dump();
      await the.owner.unsafe(statement);
      assert.notDeepEqual(await dump(), before);
      assert.ok(((await reconcile(the)).get(kind) ?? 0) > 0, kind);
      await the.owner`select settle_unread(1000)`;
      assert.deepEqual(withoutVersions(await dump()), withoutVersions(before));
      await assertNothingToRepair(the);
    });
  }

  it('finds and repairs messages of channels and replies to messages that do not exist', async () => {
    const [orphan] = await the.owner<{ id: bigint }[]>`
      insert into messages (channel_id, sender_id, tenant_id, content, post_seq, created_at, updated_at)
      values (987654, 1, 1, 'lạc', 1, 1, 1)
      returning id
    `;
    const [reply] = await the.owner<{ id: bigint }[]>`
      insert into messages (channel_id, sender_id, tenant_id, content, parent_id, post_seq, created_at, updated_at)
      values (${channelId}, 1, 1, 'lạc', 987654, 100, 1, 1)
      returning id
    `;
    const found = await reconcile(the);
    assert.deepEqual([found.get('messages.channel_id'), found.get('messages.parent_id')], [1, 1]);
    const rows = await the.owner<{ parentId: bigint | null }[]>`
      select parent_id from messages where id in (${orphan?.id ?? 0n}, ${reply?.id ?? 0n})
    `;
    assert.deepEqual(
      rows.map(({ parentId }) => parentId),
      [null],
    );
    await the.owner`delete from messages where id = ${reply?.id ?? 0n}`;
    await reconcile(the);
    await the.owner`select settle_unread(1000)`;
    await assertNothingToRepair(the);
  });

  it('repairs one tenant only if requested, in pages of any size', async () => {
    const before = await dump(channelId);
    await the.owner`update channels set member_count = 50`;
    const { counters, nextPageToken } = await the
      .client(AdminService, operator)
      .reconcileCounters({ tenantId: 2n, pageSize: 1 });
    assert.equal(nextPageToken, '');
    const counts = counters.find(({ name }) => name === 'channels.member_count');
    assert.deepEqual([counts?.checkedCount, counts?.repairedCount], [1n, 1n]);
    assert.notDeepEqual(await dump(channelId), before);
    assert.equal((await reconcile(the, 0n, 1)).get('channels.member_count'), 1);
    assert.deepEqual(withoutVersions(await dump(channelId)), withoutVersions(before));
    assert.equal((await reconcile(the, 999n)).get('channels.member_count'), 0);
  });

  it('reports no mismatch for concurrent changes', async () => {
    let writing = true;
    const writers = [lan, minh, thu].map(async (as) => {
      let sent = 0;
      while (writing) {
        const { message } = await messages(as).sendMessage({ channelId, content: 'tin' });
        const messageId = message?.id ?? 0n;
        await messages(as).sendMessage({ channelId, content: 'trả lời', replyToMessageId: messageId });
        if (sent % 3 === 0) await messages(as).deleteMessage({ channelId, messageId });
        await the.client(MemberService, as).markRead({ channelId, messageId });
        sent += 1;
      }
      return sent;
    });
    for (let round = 0; round < 20; round += 1) await assertNothingToRepair(the);
    writing = false;
    for (const sent of await Promise.all(writers)) assert.ok(sent > 3);
    await the.owner`select settle_unread(1000)`;
    await assertNothingToRepair(the);
  });

  it('returns table sizes, creates partitions and drops old ones', async () => {
    const admin = the.client(AdminService, operator);
    await the.owner`analyze messages`;
    const { tenantCount, tables, tenant: none } = await admin.getStats({});
    assert.deepEqual([tenantCount, none], [2n, undefined]);
    const { tenant } = await admin.getStats({ tenantId: lan.tenantId });
    const [expected] = await the.owner<{ channels: bigint; messages: bigint; posts: bigint }[]>`
      select count(*) as channels, sum(message_count)::bigint as messages, sum(post_seq)::bigint as posts
      from channels
      where tenant_id = ${lan.tenantId} and deleted_at is null
    `;
    assert.deepEqual([tenant?.channelCount, tenant?.messageCount], [expected?.channels, expected?.messages]);
    // Deleted messages at the beginning of a channel are not counted.
    assert.ok((tenant?.dayPostCount ?? 0n) > 10n && (tenant?.dayPostCount ?? 0n) <= (expected?.posts ?? 0n));
    assert.deepEqual(tenant?.weekPostCount, tenant?.dayPostCount);
    const largest = tenant?.largestChannels.map(({ messageCount }) => Number(messageCount)) ?? [];
    assert.deepEqual(
      largest,
      largest.toSorted((a, b) => b - a),
    );
    const sizes = new Map(tables.map((table) => [table.name, table]));
    assert.ok((sizes.get('messages')?.estimatedRowCount ?? 0n) > 10n);
    assert.ok((sizes.get('messages')?.byteCount ?? 0n) > 8_192n);
    assert.ok((sizes.get('channel_members')?.byteCount ?? 0n) > 8_192n);
    const day = `channel_events_${new Date().toISOString().slice(0, 10).replaceAll('-', '')}`;
    assert.ok((sizes.get('channel_events')?.byteCount ?? 0n) >= (sizes.get(day)?.byteCount ?? 1n << 60n));
    // The first call creates that of another day after midnight.
    await admin.ensurePartitions({});
    assert.deepEqual((await admin.ensurePartitions({})).createdPartitions, []);
    await the.owner`select ensure_partitions(now_ms() - 20 * 86400000::bigint)`;
    await the.owner`
      insert into idempotency_keys (tenant_id, user_id, request_id, method, payload_hash, created_at)
      select 1, 1, gen_random_uuid(), 'X', '\\x00', now_ms() - 100 * 3600000 from generate_series(1, 12000)
    `;
    const gone = await messages(lan).sendMessage({ channelId, content: 'xoá lâu' });
    const messageId = gone.message?.id ?? 0n;
    await messages(lan).deleteMessage({ channelId, messageId });
    await the.owner`update messages set deleted_at = now_ms() - 91 * 86400000::bigint where id = ${messageId}`;
    const { droppedPartitions, ...counts } = await admin.runRetention({});
    assert.ok(droppedPartitions.length >= 8, `${droppedPartitions}`);
    assert.equal(counts.prunedRequestIdCount, 12_000);
    assert.equal(counts.removedMessageCount, 1);
    const again = await admin.runRetention({});
    assert.deepEqual(
      [again.droppedPartitions, again.prunedRequestIdCount, again.removedMessageCount],
      [[], 0, 0],
    );
    await assertNothingToRepair(the);
  });

  it('is allowed for operators only', async () => {
    for (const as of [lan, crm]) {
      const admin = the.client(AdminService, as);
      for (const name of ['reconcileCounters', 'getStats', 'ensurePartitions', 'runRetention'] as const)
        await rejects(admin[name]({}), Code.PermissionDenied, 'CALLER_NOT_ALLOWED');
    }
  });
});
