import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { Code } from '@connectrpc/connect';
import { ChannelType } from '#gen/serp/discuss/v1/channel_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { MemberRole } from '#gen/serp/discuss/v1/member_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, type As, app, CONCURRENT, type Edge } from '../../test/kit/app.ts';
import { loggedEvents } from '../../test/kit/logged-events.ts';
import { fieldsOf, rejects } from '../../test/kit/rejects.ts';

const ana = { userId: 1n, tenantId: 1n };
const binh = { userId: 2n, tenantId: 1n };
const stranger = { userId: 4n, tenantId: 1n };
const foreigner = { userId: 1n, tenantId: 2n };

describe('ChannelService', () => {
  let the: App;

  before(async () => {
    the = await app(CONCURRENT);
    await the.start();
  });
  after(() => the.close());

  const channels = (as: As, instance = 0, edge: Edge = 'grpc') =>
    the.client(ChannelService, as, edge, instance);
  const messages = (as: As) => the.client(MessageService, as);
  const events = (channelId: bigint) => loggedEvents(the, channelId);

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
});
