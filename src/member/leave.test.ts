import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Code } from '@connectrpc/connect';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { type App, type As, app } from '../../test/kit/app.ts';
import { memberFixture, stored } from '../../test/kit/member-fixture.ts';
import { fieldsOf, rejects } from '../../test/kit/rejects.ts';
import { Subscriber } from '../../test/kit/stream.ts';
import { until } from '../../test/kit/until.ts';

const user = (id: number): As => ({ userId: BigInt(id), tenantId: 1n });
const [ana, binh, chi, dung, stranger] = [user(1), user(2), user(3), user(4), user(99)];
const foreigner = { userId: 1n, tenantId: 2n };
const crm = { userId: 0n, tenantId: 1n, roles: ['discuss.service'] };
const crmForStranger = { ...crm, userId: stranger.userId };

describe('MemberService', () => {
  let the: App;

  before(async () => {
    the = await app();
    await the.start();
  });
  after(() => the.close());

  const { members, channels, group, count, lastEvent } = memberFixture(() => the);

  describe('RemoveMember', () => {
    it('ends the member’s access, with an event for the others', async () => {
      const channelId = await group({ 2: 'MEMBER' }, true);
      await members(ana).removeMember({ channelId, userId: 2n });
      const event = await lastEvent(channelId);
      assert.ok(event.change.case === 'memberLeft');
      assert.equal(event.change.value.userId, 2n);
      assert.equal(event.change.value.removed, true);
      assert.equal(event.actorId, 1n);
      assert.equal(await count(channelId), 1);
      await rejects(channels(binh).getChannel({ channelId }), Code.NotFound, 'CHANNEL_NOT_FOUND');
      assert.deepEqual(
        (await channels(binh).listChannels({})).entries.filter(({ channel }) => channel?.id === channelId),
        [],
      );
    });

    it('returns the same response when repeated, without an event', async () => {
      const channelId = await group({ 2: 'OWNER', 3: 'ADMIN' });
      await members(ana).removeMember({ channelId, userId: 2n });
      const { seq } = await lastEvent(channelId);
      for (const as of [ana, chi, crm]) await members(as, 1).removeMember({ channelId, userId: 2n });
      assert.equal((await lastEvent(channelId)).seq, seq);
      assert.equal(await count(channelId), 2);
      await rejects(
        members(dung).removeMember({ channelId, userId: 2n }),
        Code.PermissionDenied,
        'ROLE_TOO_LOW',
      );
    });

    it('is allowed for admins up to admins, for owners and services for all, for others never', async () => {
      const roles = { 2: 'ADMIN', 3: 'MEMBER', 4: 'GUEST', 5: 'ADMIN', 6: 'OWNER', 7: 'OWNER', 8: 'MEMBER' };
      const channelId = await group(roles);
      const remove = (as: As, userId: bigint) => members(as).removeMember({ channelId, userId });
      await rejects(remove(chi, 4n), Code.PermissionDenied, 'ROLE_TOO_LOW');
      await rejects(remove(binh, 6n), Code.PermissionDenied, 'ROLE_TOO_LOW');
      await rejects(remove(stranger, 4n), Code.PermissionDenied, 'ROLE_TOO_LOW');
      await rejects(remove(foreigner, 4n), Code.NotFound, 'CHANNEL_NOT_FOUND');
      await rejects(remove(crmForStranger, 4n), Code.PermissionDenied, 'ROLE_TOO_LOW');
      await rejects(remove(binh, 77n), Code.NotFound, 'MEMBER_NOT_FOUND');
      assert.deepEqual(await fieldsOf(remove(binh, 2n)), ['user_id']);
      await remove(binh, 5n);
      await remove(binh, 8n);
      await remove(ana, 6n);
      await remove(crm, 7n);
      assert.equal(await count(channelId), 4);
      const hidden = await group({}, true);
      const refused = members(stranger).removeMember({ channelId: hidden, userId: 1n });
      await rejects(refused, Code.NotFound, 'CHANNEL_NOT_FOUND');
    });

    it('rejects the removal of the last owner while others remain', async () => {
      const channelId = await group({ 2: 'ADMIN' });
      await rejects(
        members(crm).removeMember({ channelId, userId: 1n }),
        Code.FailedPrecondition,
        'LAST_OWNER',
      );
      await members(crm).removeMember({ channelId, userId: 2n });
      await members(crm).removeMember({ channelId, userId: 1n });
      assert.equal(await count(channelId), 0);
    });
  });

  describe('LeaveChannel', () => {
    it('ends the membership, with an event for the others and CHANNEL_CLOSED on the leaver’s stream', async () => {
      const channelId = await group({ 2: 'MEMBER' }, true);
      const stream = await new Subscriber(the.client(EventService, binh, 'web', 1), [channelId]).connect();
      await members(binh).leaveChannel({ channelId });
      const event = await lastEvent(channelId);
      assert.ok(event.change.case === 'memberLeft');
      assert.equal(event.change.value.removed, false);
      assert.equal(event.actorId, 2n);
      await until(() => stream.count('channelClosed') === 1);
      await stream.disconnect();
      assert.equal(await count(channelId), 1);
      const calls = [
        () => members(binh).markRead({ channelId, all: true }),
        () => members(binh).listMembers({ channelId }),
        () => channels(binh).getChannel({ channelId }),
      ];
      for (const call of calls) await rejects(call(), Code.NotFound, 'CHANNEL_NOT_FOUND');
    });

    it('returns the same response when repeated, also concurrently, and to a user who was removed', async () => {
      const [shown, hidden] = [await group({ 2: 'MEMBER', 3: 'MEMBER' }), await group({ 2: 'MEMBER' }, true)];
      for (const channelId of [shown, hidden]) {
        await Promise.all(
          [0, 1, 0, 1].map((instance) => members(binh, instance).leaveChannel({ channelId })),
        );
        const { seq } = await lastEvent(channelId);
        await members(binh).leaveChannel({ channelId });
        assert.equal((await lastEvent(channelId)).seq, seq);
      }
      assert.deepEqual([await count(shown), await count(hidden)], [2, 1]);
      await members(ana).removeMember({ channelId: shown, userId: 3n });
      await members(chi).leaveChannel({ channelId: shown });
      assert.equal((await stored(the, shown, chi)).removedBy, 1n);
      await channels(ana).deleteChannel({ channelId: hidden });
      await members(binh).leaveChannel({ channelId: hidden });
    });

    it('is rejected for the last owner while others remain, also when two owners leave concurrently', async () => {
      const channelId = await group({ 2: 'OWNER', 3: 'MEMBER' });
      const outcomes = await Promise.allSettled([
        members(ana).leaveChannel({ channelId }),
        members(binh, 1).leaveChannel({ channelId }),
      ]);
      assert.deepEqual(outcomes.map(({ status }) => status).toSorted(), ['fulfilled', 'rejected']);
      for (const outcome of outcomes)
        if (outcome.status === 'rejected')
          await rejects(Promise.reject(outcome.reason), Code.FailedPrecondition, 'LAST_OWNER');
      await members(chi).leaveChannel({ channelId });
      const last = outcomes[0]?.status === 'rejected' ? ana : binh;
      await members(last).leaveChannel({ channelId });
      assert.equal(await count(channelId), 0);
    });

    it('returns NOT_FOUND to callers who are not members', async () => {
      const [shown, hidden] = [await group(), await group({}, true)];
      await rejects(members(stranger).leaveChannel({ channelId: shown }), Code.NotFound, 'MEMBER_NOT_FOUND');
      await rejects(
        members(stranger).leaveChannel({ channelId: hidden }),
        Code.NotFound,
        'CHANNEL_NOT_FOUND',
      );
      await rejects(
        members(foreigner).leaveChannel({ channelId: shown }),
        Code.NotFound,
        'CHANNEL_NOT_FOUND',
      );
      await rejects(
        members(crm).leaveChannel({ channelId: shown }),
        Code.PermissionDenied,
        'CALLER_NOT_ALLOWED',
      );
    });
  });
});
