import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Code } from '@connectrpc/connect';
import { MemberRole } from '#gen/serp/discuss/v1/member_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, type As, app, CONCURRENT } from '../../test/kit/app.ts';
import { memberFixture, stored } from '../../test/kit/member-fixture.ts';
import { fieldsOf, rejects } from '../../test/kit/rejects.ts';

const MAX_MEMBERS = 40;

const user = (id: number): As => ({ userId: BigInt(id), tenantId: 1n });
const [ana, binh, chi, dung, stranger] = [user(1), user(2), user(3), user(4), user(99)];
const foreigner = { userId: 1n, tenantId: 2n };
const crm = { userId: 0n, tenantId: 1n, roles: ['discuss.service'] };

describe('MemberService', () => {
  let the: App;

  before(async () => {
    the = await app({ ...CONCURRENT, CHANNEL_MAX_MEMBERS: `${MAX_MEMBERS}` });
    await the.start();
  });
  after(() => the.close());

  const { members, channels, group, send, own, count, lastEvent } = memberFixture(() => the);

  describe('AddMembers', () => {
    it('adds new members with one event, and changes nothing when repeated', async () => {
      const channelId = await group({ 2: 'ADMIN' });
      const { added } = await members(ana).addMembers({ channelId, userIds: [4n, 2n, 3n, 3n, 1n] });
      assert.deepEqual(
        added.map(({ userId, role }) => [userId, role]),
        [
          [3n, MemberRole.MEMBER],
          [4n, MemberRole.MEMBER],
        ],
      );
      const event = await lastEvent(channelId);
      assert.ok(event.change.case === 'membersJoined');
      assert.deepEqual(event.change.value.members, added);
      assert.equal((await own(channelId, binh))?.role, MemberRole.ADMIN);
      const again = await members(ana, 1, 'web').addMembers({ channelId, userIds: [2n, 3n, 4n] });
      assert.deepEqual(again.added, []);
      assert.equal((await lastEvent(channelId)).seq, event.seq);
      assert.equal(await count(channelId), 4);
    });

    it('is allowed for members in public channels, admins in private ones, services in all, guests in none', async () => {
      const roles = { 2: 'ADMIN', 3: 'MEMBER', 4: 'GUEST' };
      const [shown, hidden] = [await group(roles), await group(roles, true)];
      await members(chi).addMembers({ channelId: shown, userIds: [5n] });
      await members(binh).addMembers({ channelId: hidden, userIds: [5n] });
      await members(crm).addMembers({ channelId: hidden, userIds: [6n] });
      assert.equal((await lastEvent(hidden)).actorId, 0n);
      const refused: [As, bigint][] = [
        [chi, hidden],
        [dung, shown],
        [dung, hidden],
        [stranger, shown],
      ];
      for (const [as, channelId] of refused)
        await rejects(
          members(as).addMembers({ channelId, userIds: [7n] }),
          Code.PermissionDenied,
          'ROLE_TOO_LOW',
        );
      const absent: [As, bigint][] = [
        [stranger, hidden],
        [foreigner, shown],
        [foreigner, hidden],
        [{ ...crm, tenantId: 2n }, shown],
      ];
      for (const [as, channelId] of absent)
        await rejects(
          members(as).addMembers({ channelId, userIds: [7n] }),
          Code.NotFound,
          'CHANNEL_NOT_FOUND',
        );
    });

    it('rejects roles above the caller’s own', async () => {
      const channelId = await group({ 2: 'ADMIN', 3: 'MEMBER' });
      const add = (as: As, userId: bigint, role: MemberRole) =>
        members(as).addMembers({ channelId, userIds: [userId], role });
      await rejects(add(binh, 10n, MemberRole.OWNER), Code.PermissionDenied, 'ROLE_TOO_LOW');
      await rejects(add(chi, 10n, MemberRole.ADMIN), Code.PermissionDenied, 'ROLE_TOO_LOW');
      const given = [
        await add(binh, 10n, MemberRole.ADMIN),
        await add(chi, 11n, MemberRole.GUEST),
        await add(ana, 12n, MemberRole.OWNER),
        await add(crm, 13n, MemberRole.OWNER),
      ];
      assert.deepEqual(
        given.map(({ added }) => added[0]?.role),
        [MemberRole.ADMIN, MemberRole.GUEST, MemberRole.OWNER, MemberRole.OWNER],
      );
    });

    it('re-adds a former member with the new role, counted once and without unread messages', async () => {
      const channelId = await group({ 2: 'ADMIN', 3: 'MEMBER' });
      await send(channelId, chi);
      await members(chi).leaveChannel({ channelId });
      assert.equal(await count(channelId), 2);
      const head = await send(channelId);
      await the.client(MessageService, binh).sendMessage({ channelId, content: 'nữa' });
      const { added } = await members(ana).addMembers({ channelId, userIds: [3n], role: MemberRole.GUEST });
      assert.equal(added[0]?.role, MemberRole.GUEST);
      assert.equal(await count(channelId), 3);
      const membership = await own(channelId, chi);
      assert.equal(membership?.unreadCount, 0);
      assert.ok(membership.lastReadMessageId > head);
      assert.deepEqual(await stored(the, channelId, chi), { unreadCount: 0, leftAt: null, removedBy: null });
      await send(channelId, chi);
      await send(channelId, ana);
      assert.equal((await own(channelId, chi))?.unreadCount, 1);
    });

    it('enforces the member limit under concurrent calls', async () => {
      const channelId = await group();
      const outcomes = await Promise.allSettled(
        Array.from({ length: 60 }, (_, index) =>
          members(ana, index % 2).addMembers({ channelId, userIds: [BigInt(100 + index)] }),
        ),
      );
      assert.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, MAX_MEMBERS - 1);
      assert.equal(await count(channelId), MAX_MEMBERS);
      const one = members(ana).addMembers({ channelId, userIds: [500n] });
      await rejects(one, Code.FailedPrecondition, 'CHANNEL_FULL');
      const memberUserIds = Array.from({ length: MAX_MEMBERS }, (_, index) => BigInt(2 + index));
      await rejects(
        channels(ana).createChannel({ name: 'x', memberUserIds }),
        Code.FailedPrecondition,
        'CHANNEL_FULL',
      );
    });

    it('rejects archived channels and invalid fields', async () => {
      const channelId = await group();
      const wrong: [object, string][] = [
        [{ userIds: [] }, 'user_ids'],
        [{ userIds: [-1n] }, 'user_ids[0]'],
        [{ userIds: Array.from({ length: 1_001 }, (_, index) => BigInt(index + 1)) }, 'user_ids'],
        [{ role: 9 }, 'role'],
        [{ channelId: 0n }, 'channel_id'],
      ];
      for (const [fields, name] of wrong)
        assert.deepEqual(await fieldsOf(members(ana).addMembers({ channelId, userIds: [2n], ...fields })), [
          name,
        ]);
      await the.owner`update channels set is_archived = true where id = ${channelId}`;
      const archived = members(ana).addMembers({ channelId, userIds: [2n] });
      await rejects(archived, Code.FailedPrecondition, 'CHANNEL_ARCHIVED');
    });
  });
});
