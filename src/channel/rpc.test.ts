import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { fromBinary } from '@bufbuild/protobuf';
import { Code } from '@connectrpc/connect';
import { BadRequestSchema } from '#gen/google/rpc/error_details_pb.ts';
import { type Channel, ChannelType } from '#gen/serp/discuss/v1/channel_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { type Event, EventSchema } from '#gen/serp/discuss/v1/event_pb.ts';
import { type Member, MemberRole } from '#gen/serp/discuss/v1/member_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, type As, app, type Edge } from '../../test/kit/app.ts';
import { untilLocksAreAwaited } from '../../test/kit/locks.ts';
import { rejects } from '../../test/kit/rejects.ts';
import { isNotice } from '../../test/kit/stream.ts';

const ana = { userId: 1n, tenantId: 1n };
const binh = { userId: 2n, tenantId: 1n };
const chi = { userId: 3n, tenantId: 1n };
const stranger = { userId: 4n, tenantId: 1n };
const foreigner = { userId: 1n, tenantId: 2n };
const crm = { userId: 0n, tenantId: 1n, roles: ['discuss.service'] };
const crmFor = (userId: bigint) => ({ ...crm, userId });

describe('ChannelService', () => {
  let the: App;

  before(async () => {
    the = await app();
    await the.start();
  });
  after(() => the.close());

  const channels = (as: As, instance = 0, edge: Edge = 'grpc') =>
    the.client(ChannelService, as, edge, instance);
  const messages = (as: As) => the.client(MessageService, as);
  const events = async (channelId: bigint): Promise<Event[]> => {
    const rows = await the.owner<{ payload: Buffer }[]>`
      select payload from channel_events where channel_id = ${channelId} order by seq
    `;
    return rows.map(({ payload }) => fromBinary(EventSchema, payload));
  };

  describe('CreateChannel', () => {
    it('creates a group with the caller as owner and each other user once', async () => {
      const metadata = { order_id: 7, icon: '👥', nested: { a_b: [null, true, 1.5] }, Tên: 'đỏ' };
      const { channel, membership } = await channels(ana).createChannel({
        name: 'Kho Hà Nội',
        description: 'Nhập và xuất',
        memberUserIds: [2n, 3n, 2n, 1n],
        metadata,
      });
      assert.equal(channel?.type, ChannelType.GROUP);
      assert.equal(channel.name, 'Kho Hà Nội');
      assert.equal(channel.description, 'Nhập và xuất');
      assert.equal(channel.memberCount, 3);
      assert.equal(channel.creatorId, 1n);
      assert.equal(channel.private, false);
      assert.equal(channel.lastMessageTime, undefined);
      assert.deepEqual(channel.metadata, metadata);
      assert.equal(membership?.role, MemberRole.OWNER);
      assert.equal(membership.unreadCount, 0);
      const read = await channels(binh, 1, 'web').getChannel({ channelId: channel.id });
      assert.deepEqual(read.channel, channel);
      assert.equal(read.membership?.role, MemberRole.MEMBER);
      assert.equal(read.headSeq, 2n);
    });

    it('appends events with the returned channel and its members', async () => {
      const { channel } = await channels(ana).createChannel({ name: 'Nhật ký', memberUserIds: [3n, 2n] });
      const [created, joined, ...rest] = await events(channel?.id ?? 0n);
      assert.deepEqual(rest, []);
      assert.equal(created?.seq, 1n);
      assert.equal(created.actorId, 1n);
      assert.ok(created.change.case === 'channelChanged' && created.change.value.created);
      assert.deepEqual(created.change.value.channel, { ...channel, memberCount: 0 });
      assert.equal(joined?.seq, 2n);
      assert.ok(joined.change.case === 'membersJoined');
      const { members } = await the.client(MemberService, binh).listMembers({ channelId: channel?.id ?? 0n });
      assert.deepEqual(joined.change.value.members, members);
    });

    it('creates one channel for a request id of 20 concurrent calls on two instances', async () => {
      const requestId = randomUUID();
      const answers = await Promise.all(
        Array.from({ length: 20 }, (_, index) =>
          channels(ana, index % 2, index % 3 === 0 ? 'web' : 'grpc').createChannel({
            name: 'một thôi',
            memberUserIds: [2n],
            requestId,
          }),
        ),
      );
      for (const answer of answers) assert.deepEqual(answer, answers[0]);
      const [row] = await the.owner`select count(*)::int as n from channels where name = 'một thôi'`;
      assert.equal(row?.['n'], 1);
    });

    it('recognises a retry by its id and content, in any order of map entries', async () => {
      const requestId = randomUUID();
      const first = await channels(ana).createChannel({
        name: 'a',
        requestId,
        metadata: { x: 1, y: { p: 1, q: 2 } },
      });
      const again = await channels(ana).createChannel({
        name: 'a',
        requestId,
        metadata: { y: { q: 2, p: 1 }, x: 1 },
      });
      assert.equal(again.channel?.id, first.channel?.id);
      await rejects(
        channels(ana).createChannel({ name: 'b', requestId }),
        Code.AlreadyExists,
        'REQUEST_ID_REUSED',
      );
      const { message } = await messages(ana).sendMessage({
        channelId: first.channel?.id ?? 0n,
        content: 'x',
      });
      assert.ok(message);
      const sent = { channelId: first.channel?.id ?? 0n, content: 'x', requestId: randomUUID() };
      await messages(ana).sendMessage(sent);
      const reused = channels(ana).createChannel({ name: 'c', requestId: sent.requestId });
      await rejects(reused, Code.AlreadyExists, 'REQUEST_ID_REUSED');
      const others = await channels(binh).createChannel({ name: 'b', requestId });
      assert.notEqual(others.channel?.id, first.channel?.id, 'ids are unique per user');
    });

    it('creates a channel per request id', async () => {
      const [first, second] = [
        await channels(ana).createChannel({ name: 'x', requestId: randomUUID() }),
        await channels(ana).createChannel({ name: 'x', requestId: randomUUID() }),
      ];
      assert.notEqual(first.channel?.id, second.channel?.id);
    });

    it('names the invalid field in the error', async () => {
      const deep = JSON.parse(`${'{"a":'.repeat(40)}1${'}'.repeat(40)}`);
      const wrong: [object, string][] = [
        [{ name: '' }, 'name'],
        [{ name: ' \t\n' }, 'name'],
        [{ name: 'x'.repeat(256) }, 'name'],
        [{ name: 'a\0b' }, 'name'],
        [{ description: 'x'.repeat(2_001) }, 'description'],
        [{ memberUserIds: [0n] }, 'member_user_ids[0]'],
        [
          { memberUserIds: Array.from({ length: 1_001 }, (_, index) => BigInt(index + 1)) },
          'member_user_ids',
        ],
        [{ requestId: 'x' }, 'request_id'],
        [{ metadata: { big: 'x'.repeat(8_200) } }, 'metadata'],
        [{ metadata: { a: [{ 'x\0': 1 }] } }, 'metadata'],
        [{ metadata: { a: Number.NaN } }, 'metadata'],
        [{ metadata: deep }, 'metadata'],
      ];
      for (const [fields, name] of wrong) {
        const refused = channels(ana).createChannel({ name: 'đúng', ...fields });
        assert.deepEqual(await fieldsOf(refused), [name], JSON.stringify(Object.keys(fields)));
      }
    });

    it('accepts names and metadata up to the limit', async () => {
      const name = '😀'.repeat(255);
      const metadata = { text: 'x'.repeat(8_192 - '{"text":""}'.length) };
      const { channel } = await channels(ana).createChannel({
        name,
        description: 'đ'.repeat(2_000),
        metadata,
      });
      assert.equal(channel?.name, name);
      assert.deepEqual(channel.metadata, metadata);
    });
  });

  describe('GetOrCreateDirectChannel', () => {
    it('creates one channel for 50 concurrent calls of both users on two instances', async () => {
      const tenantId = 20n;
      const answers = await Promise.all(
        Array.from({ length: 50 }, (_, index) => {
          const [userId, otherId] = index % 2 === 0 ? [8n, 7n] : [7n, 8n];
          return channels({ tenantId, userId }, index % 4 < 2 ? 0 : 1).getOrCreateDirectChannel({
            userId: otherId,
          });
        }),
      );
      assert.equal(new Set(answers.map(({ channel }) => channel?.id)).size, 1);
      assert.equal(answers.filter(({ created }) => created).length, 1);
      for (const { channel, membership } of answers) {
        assert.equal(channel?.type, ChannelType.DIRECT);
        assert.deepEqual(channel.directUserIds, [7n, 8n]);
        assert.equal(channel.memberCount, 2);
        assert.equal(channel.private, true);
        assert.equal(membership?.role, MemberRole.MEMBER);
      }
      const logged = await events(answers[0]?.channel?.id ?? 0n);
      assert.deepEqual(
        logged.map(({ change }) => change.case),
        ['channelChanged', 'membersJoined'],
      );
    });

    it('creates one channel of a user with themselves', async () => {
      const answers = await Promise.all(
        Array.from({ length: 10 }, (_, index) =>
          channels(ana, index % 2).getOrCreateDirectChannel({ userId: 1n }),
        ),
      );
      assert.equal(new Set(answers.map(({ channel }) => channel?.id)).size, 1);
      assert.equal(answers.filter(({ created }) => created).length, 1);
      assert.deepEqual(answers[0]?.channel?.directUserIds, [1n]);
      assert.equal(answers[0]?.channel?.memberCount, 1);
    });

    it('is visible to its two users only, and separate per tenant', async () => {
      const { channel } = await channels(ana).getOrCreateDirectChannel({ userId: 2n });
      const channelId = channel?.id ?? 0n;
      for (const as of [stranger, foreigner])
        await rejects(channels(as).getChannel({ channelId }), Code.NotFound, 'CHANNEL_NOT_FOUND');
      const theirs = await channels(foreigner).getOrCreateDirectChannel({ userId: 2n });
      assert.equal(theirs.created, true);
      assert.notEqual(theirs.channel?.id, channelId);
      const withOther = await channels(ana).getOrCreateDirectChannel({ userId: 3n });
      assert.notEqual(withOther.channel?.id, channelId);
    });

    it('cannot be managed by either user', async () => {
      const { channel } = await channels(ana).getOrCreateDirectChannel({ userId: 2n });
      const channelId = channel?.id ?? 0n;
      const members = the.client(MemberService, ana);
      const calls = [
        () => channels(ana).updateChannel({ channelId, name: 'x', updateMask: { paths: ['name'] } }),
        () => members.addMembers({ channelId, userIds: [3n] }),
        () => members.removeMember({ channelId, userId: 2n }),
        () => members.leaveChannel({ channelId }),
      ];
      for (const call of calls) await rejects(call(), Code.FailedPrecondition, 'CHANNEL_IS_DIRECT');
    });
  });

  describe('GetOrCreateTopicChannel', () => {
    const order = { name: 'Đơn hàng PO-2024-001' };
    const orderId = (id: bigint) => ({ type: 'order', id });

    it('creates one channel for 30 concurrent calls with one entity, and adds all members', async () => {
      const answers = await Promise.all(
        Array.from({ length: 30 }, (_, index) =>
          channels(crm, index % 2).getOrCreateTopicChannel({
            ...order,
            entity: orderId(1n),
            memberUserIds: [1n, BigInt(10 + index)],
          }),
        ),
      );
      assert.equal(new Set(answers.map(({ channel }) => channel?.id)).size, 1);
      assert.equal(answers.filter(({ created }) => created).length, 1);
      const channelId = answers[0]?.channel?.id ?? 0n;
      const { channel, membership } = await channels(ana).getChannel({ channelId });
      assert.equal(channel?.type, ChannelType.TOPIC);
      assert.equal(channel.entity?.type, 'order');
      assert.equal(channel.entity.id, 1n);
      assert.equal(channel.private, true);
      assert.equal(channel.creatorId, 0n);
      assert.equal(channel.memberCount, 31);
      assert.equal(membership?.role, MemberRole.MEMBER);
      const joined = (await events(channelId)).flatMap(({ change }) =>
        change.case === 'membersJoined' ? change.value.members.map(({ userId }) => userId) : [],
      );
      assert.deepEqual(joined.toSorted(ascending), [
        1n,
        ...Array.from({ length: 30 }, (_, index) => BigInt(10 + index)),
      ]);
    });

    it('changes nothing when the channel exists with its members', async () => {
      const request = { ...order, entity: orderId(2n), memberUserIds: [1n, 2n] };
      const first = await channels(crm).getOrCreateTopicChannel(request);
      const again = await channels(crm, 1).getOrCreateTopicChannel({ ...request, name: 'khác' });
      assert.equal(again.created, false);
      assert.deepEqual(again.channel, first.channel);
      assert.equal((await events(first.channel?.id ?? 0n)).length, 2);
    });

    it('makes the user that a service acts for the owner', async () => {
      const made = await channels(crmFor(3n)).getOrCreateTopicChannel({
        ...order,
        entity: orderId(3n),
        memberUserIds: [3n, 1n],
      });
      const { membership } = await channels(chi).getChannel({ channelId: made.channel?.id ?? 0n });
      assert.equal(membership?.role, MemberRole.OWNER);
      assert.equal(made.channel?.creatorId, 3n);
      assert.equal(made.channel.memberCount, 2);
      const other = await channels(crmFor(4n)).getOrCreateTopicChannel({
        ...order,
        entity: orderId(3n),
        memberUserIds: [2n],
      });
      assert.equal(other.channel?.id, made.channel.id);
      assert.equal(other.channel.memberCount, 3);
    });

    it('is allowed for services, creates one channel per tenant, visible to its members', async () => {
      const request = { ...order, entity: orderId(4n), memberUserIds: [1n] };
      await rejects(
        channels(ana).getOrCreateTopicChannel(request),
        Code.PermissionDenied,
        'CALLER_NOT_ALLOWED',
      );
      const made = await channels(crm).getOrCreateTopicChannel(request);
      const channelId = made.channel?.id ?? 0n;
      for (const as of [binh, foreigner, crmFor(2n), { ...crm, tenantId: 2n }])
        await rejects(channels(as).getChannel({ channelId }), Code.NotFound, 'CHANNEL_NOT_FOUND');
      assert.ok((await channels(crm).getChannel({ channelId })).channel);
      const elsewhere = await channels({ ...crm, tenantId: 2n }).getOrCreateTopicChannel(request);
      assert.equal(elsewhere.created, true);
    });

    it('returns an archived channel and rejects new members for it', async () => {
      const request = { ...order, entity: orderId(5n), memberUserIds: [1n] };
      const made = await channels(crm).getOrCreateTopicChannel(request);
      await the.owner`update channels set is_archived = true where id = ${made.channel?.id ?? 0n}`;
      const again = await channels(crm).getOrCreateTopicChannel(request);
      assert.equal(again.channel?.archived, true);
      const more = channels(crm).getOrCreateTopicChannel({ ...request, memberUserIds: [1n, 2n] });
      await rejects(more, Code.FailedPrecondition, 'CHANNEL_ARCHIVED');
    });

    it('rejects an invalid entity type, and a service call without a tenant', async () => {
      for (const type of ['', 'Order', '1x', 'x'.repeat(101), 'a b'])
        assert.deepEqual(
          await fieldsOf(channels(crm).getOrCreateTopicChannel({ ...order, entity: { type, id: 1n } })),
          ['entity.type'],
        );
      assert.deepEqual(await fieldsOf(channels(crm).getOrCreateTopicChannel(order)), ['entity']);
      const nowhere = channels({ ...crm, tenantId: 0n }).getOrCreateTopicChannel({
        ...order,
        entity: orderId(1n),
      });
      assert.deepEqual(await fieldsOf(nowhere), ['x-tenant-id']);
    });
  });

  describe('the log', () => {
    it('rebuilds the current channel and members from its events', async () => {
      const { channel } = await channels(ana).createChannel({
        name: 'một',
        memberUserIds: [2n, 3n],
        private: true,
      });
      const channelId = channel?.id ?? 0n;
      const members = the.client(MemberService, ana);
      await messages(binh).sendMessage({ channelId, content: 'một' });
      await the.client(MemberService, binh).leaveChannel({ channelId });
      await members.addMembers({ channelId, userIds: [5n, 6n], role: MemberRole.ADMIN });
      await channels(ana).updateChannel({
        channelId,
        description: 'hai',
        updateMask: { paths: ['description'] },
      });
      await members.removeMember({ channelId, userId: 3n });
      await members.addMembers({ channelId, userIds: [2n], role: MemberRole.GUEST });
      await messages(ana).sendMessage({ channelId, content: 'hai' });
      const folded = fold(await events(channelId));
      const read = await channels(ana).getChannel({ channelId });
      assert.deepEqual(folded.channel, read.channel);
      assert.equal(folded.seq, read.headSeq);
      const listed = await members.listMembers({ channelId });
      assert.deepEqual(
        [...folded.members.values()].toSorted((a, b) => b.role - a.role || ascending(a.userId, b.userId)),
        listed.members,
      );
    });
  });

  describe('GetChannel', () => {
    it('returns a public group to all users of its tenant, and a private one to its members only', async () => {
      const shown = await channels(ana).createChannel({ name: 'công khai' });
      const hidden = await channels(ana).createChannel({ name: 'riêng', private: true });
      const read = await channels(stranger).getChannel({ channelId: shown.channel?.id ?? 0n });
      assert.deepEqual(read.channel, shown.channel);
      assert.equal(read.membership, undefined);
      const refused: [As, bigint][] = [
        [stranger, hidden.channel?.id ?? 0n],
        [foreigner, hidden.channel?.id ?? 0n],
        [foreigner, shown.channel?.id ?? 0n],
        [ana, 9_999_999n],
      ];
      for (const [as, channelId] of refused)
        await rejects(channels(as).getChannel({ channelId }), Code.NotFound, 'CHANNEL_NOT_FOUND');
    });
  });

  describe('UpdateChannel', () => {
    const make = async (fields: object = {}) => {
      const { channel } = await channels(ana).createChannel({
        name: 'cũ',
        description: 'd',
        memberUserIds: [2n],
        ...fields,
      });
      return channel?.id ?? 0n;
    };

    it('changes only the fields in the mask and appends an event', async () => {
      const channelId = await make({ metadata: { a_b: 1 } });
      const before = await channels(ana).getChannel({ channelId });
      const { channel } = await channels(ana).updateChannel({
        channelId,
        name: 'mới',
        description: 'bỏ qua',
        private: true,
        updateMask: { paths: ['name', 'private'] },
      });
      assert.equal(channel?.name, 'mới');
      assert.equal(channel.description, 'd');
      assert.equal(channel.private, true);
      assert.deepEqual(channel.metadata, { a_b: 1 });
      assert.ok((channel.updateTime?.seconds ?? 0n) >= (before.channel?.updateTime?.seconds ?? 0n));
      const read = await channels(binh).getChannel({ channelId });
      assert.deepEqual(read.channel, channel);
      const logged = await events(channelId);
      assert.equal(logged.at(-1)?.seq, read.headSeq);
      const last = logged.findLast((event) => !isNotice(event));
      assert.ok(last?.change.case === 'channelChanged' && !last.change.value.created);
      assert.deepEqual(last.change.value.channel, channel);
      const cleared = await channels(ana).updateChannel({
        channelId,
        updateMask: { paths: ['metadata', 'description'] },
      });
      assert.equal(cleared.channel?.metadata, undefined);
      assert.equal(cleared.channel?.description, '');
    });

    it('is allowed for admins, owners and services', async () => {
      const channelId = await make();
      const change = { channelId, name: 'x', updateMask: { paths: ['name'] } };
      await rejects(channels(binh).updateChannel(change), Code.PermissionDenied, 'ROLE_TOO_LOW');
      await rejects(channels(stranger).updateChannel(change), Code.PermissionDenied, 'ROLE_TOO_LOW');
      await rejects(channels(foreigner).updateChannel(change), Code.NotFound, 'CHANNEL_NOT_FOUND');
      await the.owner`update channel_members set role = 'ADMIN' where channel_id = ${channelId} and user_id = 2`;
      await channels(binh).updateChannel(change);
      await channels(crm).updateChannel({ ...change, name: 'dịch vụ' });
      await rejects(channels(crmFor(4n)).updateChannel(change), Code.PermissionDenied, 'ROLE_TOO_LOW');
      const hidden = await make({ private: true });
      const refused = channels(stranger).updateChannel({ ...change, channelId: hidden });
      await rejects(refused, Code.NotFound, 'CHANNEL_NOT_FOUND');
    });

    it('checks the role after waiting for the lock of the channel', async () => {
      const channelId = await make();
      await the.owner`update channel_members set role = 'ADMIN' where channel_id = ${channelId} and user_id = 2`;
      let call: Promise<unknown> = Promise.resolve();
      await the.owner.begin(async (sql) => {
        await sql`select from channels where id = ${channelId} for no key update`;
        await sql`update channel_members set role = 'MEMBER' where channel_id = ${channelId} and user_id = 2`;
        call = channels(binh).updateChannel({ channelId, name: 'x', updateMask: { paths: ['name'] } });
        call.catch(() => {});
        await untilLocksAreAwaited(the, 1);
      });
      await rejects(call, Code.PermissionDenied, 'ROLE_TOO_LOW');
    });

    it('rejects blank names, unknown fields, an empty mask, public topics and archived channels', async () => {
      const channelId = await make();
      const wrong: [object, string][] = [
        [{ name: ' ', updateMask: { paths: ['name'] } }, 'name'],
        [{ updateMask: { paths: ['name'] } }, 'name'],
        [{ name: 'x', updateMask: { paths: ['name', 'id'] } }, 'update_mask'],
        [{ name: 'x', updateMask: { paths: [] } }, 'update_mask'],
        [{ name: 'x' }, 'update_mask'],
        [{ metadata: { big: 'x'.repeat(9_000) }, updateMask: { paths: ['metadata'] } }, 'metadata'],
      ];
      for (const [fields, name] of wrong)
        assert.deepEqual(await fieldsOf(channels(ana).updateChannel({ channelId, ...fields })), [name]);
      const topic = await channels(crm).getOrCreateTopicChannel({
        entity: { type: 'task', id: 1n },
        name: 't',
      });
      const opened = channels(crm).updateChannel({
        channelId: topic.channel?.id ?? 0n,
        private: false,
        updateMask: { paths: ['private'] },
      });
      assert.deepEqual(await fieldsOf(opened), ['private']);
      await the.owner`update channels set is_archived = true where id = ${channelId}`;
      const archived = channels(ana).updateChannel({ channelId, name: 'x', updateMask: { paths: ['name'] } });
      await rejects(archived, Code.FailedPrecondition, 'CHANNEL_ARCHIVED');
    });
  });

  describe('ListChannels', () => {
    const tenantId = 30n;
    const me = { userId: 1n, tenantId };
    const you = { userId: 2n, tenantId };
    const ids = new Map<string, bigint>();
    const names = (entries: readonly { channel?: { name: string } | undefined }[]) =>
      entries.map(({ channel }) => channel?.name ?? '');

    before(async () => {
      for (const name of ['im 1', 'a', 'b', 'im 2', 'c', 'ghim', 'cất']) {
        const { channel } = await channels(me).createChannel({ name, memberUserIds: [2n] });
        ids.set(name, channel?.id ?? 0n);
      }
      const topic = await channels({ ...crm, tenantId }).getOrCreateTopicChannel({
        entity: { type: 'lead', id: 5n },
        name: 'khách',
        memberUserIds: [1n],
      });
      ids.set('khách', topic.channel?.id ?? 0n);
      const direct = await channels(me).getOrCreateDirectChannel({ userId: 2n });
      ids.set('', direct.channel?.id ?? 0n);
      await channels(you).createChannel({ name: 'không phải của tôi' });
      for (const name of ['cất', 'ghim', 'a', 'b', 'c', ''])
        await messages(you).sendMessage({ channelId: ids.get(name) ?? 0n, content: `trong ${name}` });
      // The clock may not move between messages; these must differ.
      for (const [index, name] of ['cất', 'ghim', 'a', 'b', 'c', ''].entries())
        await the.owner`update channels set last_message_at = ${BigInt(1_000 + index)} where id = ${ids.get(name) ?? 0n}`;
      await the.owner`
        update channel_members set is_pinned = true where user_id = 1 and channel_id = any(${[ids.get('ghim') ?? 0n, ids.get('im 2') ?? 0n].map(String)}::bigint[])
      `;
      await the.owner`update channels set is_archived = true where id = ${ids.get('cất') ?? 0n}`;
      await the.client(MemberService, me).markRead({ channelId: ids.get('b') ?? 0n, all: true });
    });

    it('orders pinned channels first, then by latest message, channels without messages last', async () => {
      const { entries, nextPageToken } = await channels(me).listChannels({});
      assert.deepEqual(names(entries), ['ghim', 'im 2', '', 'c', 'b', 'a', 'khách', 'im 1']);
      assert.equal(nextPageToken, '');
      const [first] = entries;
      const read = await channels(me).getChannel({ channelId: ids.get('ghim') ?? 0n });
      assert.deepEqual(first?.channel, read.channel);
      assert.deepEqual(first?.membership, read.membership);
      assert.equal(first?.headSeq, read.headSeq);
      assert.equal(first?.membership?.unreadCount, 1);
      assert.equal(first?.membership?.pinned, true);
      assert.equal(first?.lastMessage?.content, 'trong ghim');
    });

    it('returns the same list in pages of any size, without channels of others', async () => {
      const all = names((await channels(me).listChannels({})).entries);
      for (const pageSize of [1, 2, 3, 7, 8, 100]) {
        const paged: string[] = [];
        let pageToken = '';
        do {
          const page = await channels(me, 1, 'web').listChannels({ pageSize, pageToken });
          assert.ok(page.entries.length <= pageSize);
          paged.push(...names(page.entries));
          pageToken = page.nextPageToken;
        } while (pageToken !== '');
        assert.deepEqual(paged, all, `pages of ${pageSize}`);
      }
      assert.deepEqual((await channels({ ...me, tenantId: 31n }).listChannels({})).entries, []);
    });

    it('filters by type, pin, unread, kind of entity and archive', async () => {
      const listed = async (filter: object) => names((await channels(me).listChannels(filter)).entries);
      assert.deepEqual(await listed({ types: [ChannelType.DIRECT, ChannelType.TOPIC] }), ['', 'khách']);
      assert.deepEqual(await listed({ pinnedOnly: true }), ['ghim', 'im 2']);
      assert.deepEqual(await listed({ unreadOnly: true }), ['ghim', '', 'c', 'a']);
      assert.deepEqual(await listed({ entityType: 'lead' }), ['khách']);
      assert.deepEqual(await listed({ entityType: 'order' }), []);
      assert.deepEqual(await listed({ archived: true }), ['cất']);
      assert.deepEqual(await listed({ archived: true, pinnedOnly: true }), []);
    });

    it('returns the newest message that is not deleted, cut to 200 characters', async () => {
      const channelId = ids.get('im 1') ?? 0n;
      const last = async () => {
        const { entries } = await channels(me).listChannels({});
        return entries.find(({ channel }) => channel?.id === channelId)?.lastMessage;
      };
      assert.equal(await last(), undefined);
      await messages(you).sendMessage({ channelId, content: 'trước' });
      const { message: first } = await messages(you).sendMessage({ channelId, content: 'ố'.repeat(500) });
      const { message: second } = await messages(you).sendMessage({
        channelId,
        content: 'sau',
        mentionUserIds: [1n],
      });
      assert.deepEqual(await last(), second);
      await the.owner`update messages set is_deleted = true where id = ${second?.id ?? 0n}`;
      assert.equal((await last())?.content, 'ố'.repeat(200));
      assert.equal((await last())?.id, first?.id);
      await the.owner`update messages set is_deleted = true where id = ${first?.id ?? 0n}`;
      assert.equal((await last())?.content, 'trước');
      await the.owner`update messages set is_deleted = true where channel_id = ${channelId}`;
      assert.equal(await last(), undefined);
    });

    it('rejects a page token that this method did not return', async () => {
      for (const pageToken of ['x', Buffer.from('["1"]').toString('base64url')])
        assert.deepEqual(await fieldsOf(channels(me).listChannels({ pageToken })), ['page_token']);
      assert.deepEqual(await fieldsOf(channels(me).listChannels({ pageSize: -1 })), ['page_size']);
      assert.deepEqual(await fieldsOf(channels(me).listChannels({ types: [0] })), ['types[0]']);
    });
  });
});

async function fieldsOf(call: Promise<unknown>): Promise<string[]> {
  const error = await rejects(call, Code.InvalidArgument, 'FIELD_INVALID');
  const violations = error.findDetails(BadRequestSchema).flatMap(({ fieldViolations }) => fieldViolations);
  return [...new Set(violations.map(({ field }) => field))];
}

/** What a client knows that has seen nothing but the events. */
function fold(log: readonly Event[]) {
  const members = new Map<bigint, Member>();
  let channel: Channel | undefined;
  let seq = 0n;
  for (const event of log) {
    assert.equal(event.seq, seq + 1n);
    seq = event.seq;
    const { change } = event;
    if (change.case === 'channelChanged') channel = change.value.channel;
    assert.ok(channel);
    if (change.case === 'membersJoined') {
      for (const member of change.value.members) members.set(member.userId, member);
      channel.memberCount += change.value.members.length;
    }
    if (change.case === 'memberLeft') {
      members.delete(change.value.userId);
      channel.memberCount -= 1;
    }
    if (isNotice(event)) continue;
    if (change.case === 'messageCreated' && change.value.message?.createTime !== undefined) {
      channel.messageCount += 1;
      channel.lastMessageTime = change.value.message.createTime;
      channel.updateTime = change.value.message.createTime;
    }
  }
  return { channel, members, seq };
}

function ascending(a: bigint, b: bigint): number {
  return a < b ? -1 : Number(a > b);
}
