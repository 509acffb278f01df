import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Code } from '@connectrpc/connect';
import type { Channel } from '#gen/serp/discuss/v1/channel_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import type { Event } from '#gen/serp/discuss/v1/event_pb.ts';
import { type Member, MemberRole } from '#gen/serp/discuss/v1/member_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, type As, app, type Edge } from '../../test/kit/app.ts';
import { ascending } from '../../test/kit/ascending.ts';
import { untilLocksAreAwaited } from '../../test/kit/locks.ts';
import { loggedEvents } from '../../test/kit/logged-events.ts';
import { fieldsOf, rejects } from '../../test/kit/rejects.ts';
import { isNotice } from '../../test/kit/stream.ts';

const ana = { userId: 1n, tenantId: 1n };
const binh = { userId: 2n, tenantId: 1n };
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
  const events = (channelId: bigint) => loggedEvents(the, channelId);

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
});

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
