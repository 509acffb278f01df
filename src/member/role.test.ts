import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Code } from '@connectrpc/connect';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { MemberRole } from '#gen/serp/discuss/v1/member_pb.ts';
import { type App, type As, app } from '../../test/kit/app.ts';
import { byId, memberFixture, replay } from '../../test/kit/member-fixture.ts';
import { fieldsOf, rejects } from '../../test/kit/rejects.ts';
import { Subscriber } from '../../test/kit/stream.ts';
import { until } from '../../test/kit/until.ts';

const user = (id: number): As => ({ userId: BigInt(id), tenantId: 1n });
const [ana, binh, chi, dung, stranger] = [user(1), user(2), user(3), user(4), user(99)];
const foreigner = { userId: 1n, tenantId: 2n };
const crm = { userId: 0n, tenantId: 1n, roles: ['discuss.service'] };
const { GUEST, MEMBER, ADMIN, OWNER } = MemberRole;

describe('MemberService', () => {
  let the: App;

  before(async () => {
    the = await app();
    await the.start();
  });
  after(() => the.close());

  const { members, channels, groupByCalls: group, list, rolesOf, archive } = memberFixture(() => the);

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
});
