import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Code } from '@connectrpc/connect';
import { BadRequestSchema } from '#gen/google/rpc/error_details_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { type Member, MemberRole, NotificationLevel } from '#gen/serp/discuss/v1/member_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, type As, app } from '../../test/kit/app.ts';
import { rejects } from '../../test/kit/rejects.ts';
import { Subscriber } from '../../test/kit/stream.ts';
import { until } from '../../test/kit/until.ts';

const MAX_MEMBERS = 60;

const user = (id: number): As => ({ userId: BigInt(id), tenantId: 1n });
const [ana, binh, chi, dung, stranger] = [user(1), user(2), user(3), user(4), user(99)];
const foreigner = { userId: 1n, tenantId: 2n };
const crm = { userId: 0n, tenantId: 1n, roles: ['discuss.service'] };
const { GUEST, MEMBER, ADMIN, OWNER } = MemberRole;

describe('joining, roles and settings of members', () => {
  let the: App;

  before(async () => {
    the = await app({ CHANNEL_MAX_MEMBERS: `${MAX_MEMBERS}` });
    await the.start();
  });
  after(() => the.close());

  const members = (as: As, instance = 0) => the.client(MemberService, as, 'grpc', instance);
  const channels = (as: As) => the.client(ChannelService, as);
  const group = async (roles: Record<number, MemberRole> = {}, isPrivate = false) => {
    const { channel } = await channels(ana).createChannel({ name: 'nhóm', private: isPrivate });
    const channelId = channel?.id ?? 0n;
    for (const [id, role] of Object.entries(roles))
      await members(ana).addMembers({ channelId, userIds: [BigInt(id)], role });
    return channelId;
  };
  const list = async (channelId: bigint) =>
    (await members(crm).listMembers({ channelId, pageSize: 100 })).members;
  const rolesOf = async (channelId: bigint) =>
    Object.fromEntries((await list(channelId)).map(({ userId, role }) => [`${userId}`, role]));
  const archive = (channelId: bigint) =>
    the.owner`update channels set is_archived = true where id = ${channelId}`;

  describe('JoinChannel', () => {
    it('adds the caller as a member once, also for a repeated call', async () => {
      const channelId = await group();
      await the.client(MessageService, ana).sendMessage({ channelId, content: 'trước' });
      const { channel, membership } = await members(binh).joinChannel({ channelId });
      assert.deepEqual([channel?.memberCount, membership?.role, membership?.unreadCount], [2, MEMBER, 0]);
      const again = await members(binh, 1).joinChannel({ channelId });
      assert.deepEqual(again, { ...again, channel, membership });
      const { headSeq } = await channels(binh).getChannel({ channelId });
      // Created with its first member, the message, the joining and its notice.
      assert.equal(headSeq, 5n);
      assert.equal((await members(ana).joinChannel({ channelId })).membership?.role, OWNER);
    });

    it('adds 50 users who each call twice concurrently, with one event and count each', async () => {
      const channelId = await group();
      const stream = await new Subscriber(the.client(EventService, ana), [channelId]).connect();
      const joining = Array.from({ length: 50 }, (_, index) => user(100 + index));
      await Promise.all(
        [...joining, ...joining].map((as, index) => members(as, index % 2).joinChannel({ channelId })),
      );
      const found = await list(channelId);
      assert.equal(found.length, 51);
      assert.equal((await channels(ana).getChannel({ channelId })).channel?.memberCount, 51);
      await until(() => stream.events.length === 100);
      const reported = stream.changes.flatMap(({ change }) =>
        change.case === 'membersJoined' ? change.value.members.map(({ userId }) => userId) : [],
      );
      assert.deepEqual(
        reported.toSorted((a, b) => Number(a - b)),
        joining.map(({ userId }) => userId),
      );
      assert.deepEqual(stream.faults, []);
      await stream.disconnect();
    });

    it('enforces the member limit for concurrent calls', async () => {
      const channelId = await group();
      const answers = await Promise.allSettled(
        Array.from({ length: MAX_MEMBERS + 4 }, (_, index) =>
          members(user(100 + index)).joinChannel({ channelId }),
        ),
      );
      assert.equal(answers.filter(({ status }) => status === 'fulfilled').length, MAX_MEMBERS - 1);
      await rejects(members(stranger).joinChannel({ channelId }), Code.FailedPrecondition, 'CHANNEL_FULL');
    });

    it('re-adds users who left or were removed, with existing history marked read', async () => {
      const channelId = await group({ 2: ADMIN, 3: MEMBER });
      await members(binh).leaveChannel({ channelId });
      await members(ana).removeMember({ channelId, userId: 3n });
      await the.client(MessageService, ana).sendMessage({ channelId, content: 'không ai đọc' });
      const left = await members(binh).joinChannel({ channelId });
      const removed = await members(chi).joinChannel({ channelId });
      assert.deepEqual([left.membership?.role, left.membership?.unreadCount], [MEMBER, 0]);
      assert.equal(removed.channel?.memberCount, 3);
    });

    it('adds the channel to the streams of the new member', async () => {
      const channelId = await group();
      const stream = await new Subscriber(the.client(EventService, dung, 'web', 1)).connect();
      await members(dung).joinChannel({ channelId });
      await until(() => stream.cursors.get(channelId) === 4n);
      await the.client(MessageService, ana).sendMessage({ channelId, content: 'chào Dung' });
      await until(() => stream.messages(channelId).length === 1);
      await stream.disconnect();
    });

    it('is allowed for public groups that are not archived', async () => {
      const [hidden, archived] = [await group({}, true), await group({ 2: MEMBER })];
      await archive(archived);
      const { channel: direct } = await channels(ana).getOrCreateDirectChannel({ userId: 2n });
      const { channel: topic } = await channels(crm).getOrCreateTopicChannel({
        entity: { type: 'order', id: 1n },
        name: 'Đơn 1',
      });
      const join = (as: As, channelId = 0n) => members(as).joinChannel({ channelId });
      for (const channelId of [hidden, direct?.id, topic?.id])
        await rejects(join(stranger, channelId), Code.NotFound, 'CHANNEL_NOT_FOUND');
      await rejects(join(foreigner, archived), Code.NotFound, 'CHANNEL_NOT_FOUND');
      await rejects(join(stranger, archived), Code.FailedPrecondition, 'CHANNEL_ARCHIVED');
      assert.equal((await join(binh, archived)).membership?.role, MEMBER);
      await rejects(join(crm, archived), Code.PermissionDenied, 'CALLER_NOT_ALLOWED');
    });
  });

  describe('UpdateMemberRole', () => {
    it('sets a role with one event, and changes nothing when repeated', async () => {
      const channelId = await group({ 2: MEMBER, 3: MEMBER });
      const before = await list(channelId);
      const stream = await new Subscriber(the.client(EventService, chi, 'web', 1), [channelId]).connect();
      const { member } = await members(ana).updateMemberRole({ channelId, userId: 2n, role: ADMIN });
      assert.equal(member?.role, ADMIN);
      await members(ana, 1).updateMemberRole({ channelId, userId: 2n, role: ADMIN });
      await members(binh).updateMemberRole({ channelId, userId: 3n, role: GUEST });
      await until(() => stream.events.length === 4);
      assert.deepEqual(replay(before, stream), byId(await list(channelId)));
      assert.equal((await channels(chi).getChannel({ channelId })).headSeq, stream.cursors.get(channelId));
      await stream.disconnect();
    });

    it('is limited by the roles of caller and member', async () => {
      const channelId = await group({ 2: ADMIN, 3: MEMBER, 4: GUEST, 5: OWNER, 6: ADMIN });
      const give = (as: As, userId: bigint, role: MemberRole, id = channelId) =>
        members(as).updateMemberRole({ channelId: id, userId, role });
      const low: [As, bigint, MemberRole][] = [
        [chi, 4n, MEMBER],
        [chi, 3n, ADMIN],
        [dung, 3n, GUEST],
        [binh, 3n, OWNER],
        [binh, 2n, OWNER],
        [binh, 5n, ADMIN],
        [stranger, 4n, GUEST],
        [{ ...crm, userId: 99n }, 4n, GUEST],
      ];
      for (const [as, userId, role] of low)
        await rejects(give(as, userId, role), Code.PermissionDenied, 'ROLE_TOO_LOW');
      await rejects(give(foreigner, 3n, GUEST), Code.NotFound, 'CHANNEL_NOT_FOUND');
      await rejects(give(binh, 77n, GUEST), Code.NotFound, 'MEMBER_NOT_FOUND');
      await give(binh, 6n, MEMBER);
      await give(binh, 2n, MEMBER);
      await give(ana, 3n, OWNER);
      await give(crm, 5n, GUEST);
      assert.deepEqual(await rolesOf(channelId), {
        1: OWNER,
        2: MEMBER,
        3: OWNER,
        4: GUEST,
        5: GUEST,
        6: MEMBER,
      });
      const hidden = await group({}, true);
      await rejects(give(stranger, 1n, GUEST, hidden), Code.NotFound, 'CHANNEL_NOT_FOUND');
      await archive(hidden);
      await rejects(give(ana, 1n, ADMIN, hidden), Code.FailedPrecondition, 'CHANNEL_ARCHIVED');
      const { channel } = await channels(ana).getOrCreateDirectChannel({ userId: 2n });
      await rejects(give(ana, 2n, ADMIN, channel?.id), Code.FailedPrecondition, 'CHANNEL_IS_DIRECT');
      assert.deepEqual(await fieldsOf(give(ana, 2n, MemberRole.UNSPECIFIED)), ['role']);
    });

    it('leaves one owner when two owners demote each other concurrently', async () => {
      const channelId = await group({ 2: OWNER });
      const outcomes = await Promise.allSettled([
        members(ana).updateMemberRole({ channelId, userId: 2n, role: MEMBER }),
        members(binh, 1).updateMemberRole({ channelId, userId: 1n, role: MEMBER }),
      ]);
      assert.deepEqual(outcomes.map(({ status }) => status).toSorted(), ['fulfilled', 'rejected']);
      const owner = outcomes[0]?.status === 'fulfilled' ? ana : binh;
      const step = members(owner).updateMemberRole({ channelId, userId: owner.userId, role: ADMIN });
      await rejects(step, Code.FailedPrecondition, 'LAST_OWNER');
      const forced = members(crm).updateMemberRole({ channelId, userId: owner.userId, role: ADMIN });
      await rejects(forced, Code.FailedPrecondition, 'LAST_OWNER');
    });
  });

  describe('TransferOwnership', () => {
    it('makes the member owner and the caller admin in one event', async () => {
      const channelId = await group({ 2: MEMBER, 3: MEMBER });
      const before = await list(channelId);
      const stream = await new Subscriber(the.client(EventService, chi), [channelId]).connect();
      const first = await members(ana).transferOwnership({ channelId, userId: 2n });
      assert.deepEqual(
        first.members.map(({ userId, role }) => [userId, role]),
        [
          [1n, ADMIN],
          [2n, OWNER],
        ],
      );
      await until(() => stream.events.length === 2);
      assert.deepEqual(replay(before, stream), byId(await list(channelId)));
      await stream.disconnect();
    });

    it('returns the same response when repeated, until a role changes again', async () => {
      const channelId = await group({ 2: MEMBER, 3: ADMIN });
      const first = await members(ana).transferOwnership({ channelId, userId: 2n });
      const { headSeq } = await channels(binh).getChannel({ channelId });
      await archive(channelId);
      assert.deepEqual(await members(ana, 1).transferOwnership({ channelId, userId: 2n }), first);
      assert.equal((await channels(binh).getChannel({ channelId })).headSeq, headSeq);
      await the.owner`update channels set is_archived = false where id = ${channelId}`;
      await members(binh).transferOwnership({ channelId, userId: 3n });
      const late = members(ana).transferOwnership({ channelId, userId: 2n });
      await rejects(late, Code.PermissionDenied, 'ROLE_TOO_LOW');
      assert.deepEqual(await rolesOf(channelId), { 1: ADMIN, 2: ADMIN, 3: OWNER });
    });

    it('leaves one owner under two concurrent transfers and a departure', async () => {
      for (let round = 0; round < 5; round += 1) {
        const channelId = await group({ 2: MEMBER, 3: MEMBER });
        await Promise.allSettled([
          members(ana).transferOwnership({ channelId, userId: 2n }),
          members(ana, 1).transferOwnership({ channelId, userId: 3n }),
          members(binh, 1).leaveChannel({ channelId }),
        ]);
        const owners = (await list(channelId)).filter(({ role }) => role === OWNER);
        assert.equal(owners.length, 1);
      }
    });

    it('lets a service set a sole owner, also in a channel without owner', async () => {
      const channelId = await group({ 2: OWNER, 3: MEMBER });
      const first = await members(crm).transferOwnership({ channelId, userId: 3n });
      assert.deepEqual(
        first.members.map(({ userId, role }) => [userId, role]),
        [[3n, OWNER]],
      );
      assert.deepEqual(await rolesOf(channelId), { 1: ADMIN, 2: ADMIN, 3: OWNER });
      assert.deepEqual(await members(crm).transferOwnership({ channelId, userId: 3n }), first);
      const { channel } = await channels(crm).getOrCreateTopicChannel({
        entity: { type: 'order', id: 2n },
        name: 'Đơn 2',
        memberUserIds: [1n, 2n],
      });
      await members(crm).transferOwnership({ channelId: channel?.id ?? 0n, userId: 2n });
      assert.deepEqual(await rolesOf(channel?.id ?? 0n), { 1: MEMBER, 2: OWNER });
    });

    it('is allowed for owners, to members', async () => {
      const channelId = await group({ 2: ADMIN, 3: MEMBER });
      const hand = (as: As, userId: bigint) => members(as).transferOwnership({ channelId, userId });
      for (const as of [binh, chi, stranger, { ...crm, userId: 99n }])
        await rejects(hand(as, 4n), Code.PermissionDenied, 'ROLE_TOO_LOW');
      await rejects(hand(foreigner, 2n), Code.NotFound, 'CHANNEL_NOT_FOUND');
      await rejects(hand(ana, 77n), Code.NotFound, 'MEMBER_NOT_FOUND');
      assert.deepEqual(await fieldsOf(hand(ana, 1n)), ['user_id']);
      await archive(channelId);
      await rejects(hand(ana, 2n), Code.FailedPrecondition, 'CHANNEL_ARCHIVED');
    });
  });

  describe('UpdateMembership', () => {
    it('changes the fields in the mask, signals the caller’s streams, and appends an event for nicknames only', async () => {
      const channelId = await group({ 2: MEMBER });
      const before = await list(channelId);
      const [own, others] = await Promise.all([
        new Subscriber(the.client(EventService, binh, 'web', 1), [channelId]).connect(),
        new Subscriber(the.client(EventService, ana), [channelId]).connect(),
      ]);
      const { membership } = await members(binh).updateMembership({
        channelId,
        pinned: true,
        muted: true,
        notificationLevel: NotificationLevel.MENTIONS,
        updateMask: { paths: ['pinned', 'notification_level'] },
      });
      assert.deepEqual(
        [membership?.pinned, membership?.muted, membership?.notificationLevel],
        [true, false, NotificationLevel.MENTIONS],
      );
      const metadata = { nickname: 'Bình kho', color: '#f00', nested: { a_b: 1 } };
      const update = { channelId, metadata, updateMask: { paths: ['metadata', 'muted'] }, muted: true };
      const second = await members(binh).updateMembership(update);
      await members(binh, 1).updateMembership(update);
      await until(() => own.count('membershipChanged') === 3);
      assert.deepEqual(own.last('membershipChanged')?.value.membership, second.membership);
      assert.deepEqual((await channels(binh).getChannel({ channelId })).membership, second.membership);
      assert.deepEqual(second.membership?.metadata, metadata);
      await until(() => others.events.length === 1);
      assert.deepEqual(replay(before, others), byId(await list(channelId)));
      assert.equal((await list(channelId))[1]?.nickname, 'Bình kho');
      await members(binh).updateMembership({ channelId, updateMask: { paths: ['metadata'] } });
      await until(() => others.events.length === 2);
      assert.deepEqual(replay(before, others), byId(await list(channelId)));
      assert.equal(others.count('membershipChanged'), 0);
      await Promise.all([own.disconnect(), others.disconnect()]);
    });

    it('rejects invalid values and changes the caller’s membership only', async () => {
      const [channelId, hidden] = [await group({ 2: MEMBER }), await group({}, true)];
      const set = (as: As, fields: object, id = channelId) =>
        members(as).updateMembership({ channelId: id, ...fields });
      const pin = { pinned: true, updateMask: { paths: ['pinned'] } };
      const updateMask = { paths: ['metadata'] };
      const wrong: [object, string][] = [
        [{ updateMask: { paths: [] } }, 'update_mask'],
        [{ updateMask: { paths: ['role'] } }, 'update_mask'],
        [{}, 'update_mask'],
        [{ updateMask: { paths: ['notification_level'] } }, 'notification_level'],
        [{ metadata: { nickname: 7 }, updateMask }, 'metadata'],
        [{ metadata: { nickname: 'ữ'.repeat(101) }, updateMask }, 'metadata'],
        [{ metadata: { text: 'x'.repeat(9_000) }, updateMask }, 'metadata'],
      ];
      for (const [fields, name] of wrong) assert.deepEqual(await fieldsOf(set(binh, fields)), [name]);
      await rejects(set(stranger, pin), Code.NotFound, 'MEMBER_NOT_FOUND');
      await rejects(set(stranger, pin, hidden), Code.NotFound, 'CHANNEL_NOT_FOUND');
      await rejects(set(foreigner, pin), Code.NotFound, 'CHANNEL_NOT_FOUND');
      await rejects(set(crm, pin), Code.PermissionDenied, 'CALLER_NOT_ALLOWED');
      await archive(channelId);
      await set(binh, pin);
      assert.equal((await channels(ana).getChannel({ channelId })).membership?.pinned, false);
    });
  });
});

function byId(members: readonly Member[]): Map<bigint, Member> {
  return new Map(members.map((member) => [member.userId, member]));
}

function replay(before: readonly Member[], { events }: Subscriber): Map<bigint, Member> {
  const state = byId(before);
  for (const { change } of events)
    if (change.case === 'membersChanged')
      for (const member of change.value.members) state.set(member.userId, member);
  return state;
}

async function fieldsOf(call: Promise<unknown>): Promise<string[]> {
  const error = await rejects(call, Code.InvalidArgument, 'FIELD_INVALID');
  const violations = error.findDetails(BadRequestSchema).flatMap(({ fieldViolations }) => fieldViolations);
  return [...new Set(violations.map(({ field }) => field))];
}
