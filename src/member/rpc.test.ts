import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { fromBinary } from '@bufbuild/protobuf';
import { Code } from '@connectrpc/connect';
import { BadRequestSchema } from '#gen/google/rpc/error_details_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { type Event, EventSchema } from '#gen/serp/discuss/v1/event_pb.ts';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { MemberRole } from '#gen/serp/discuss/v1/member_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { type App, type As, app, type Edge } from '../../test/kit/app.ts';
import { untilLocksAreAwaited } from '../../test/kit/locks.ts';
import { rejects } from '../../test/kit/rejects.ts';
import { isNotice, Subscriber } from '../../test/kit/stream.ts';
import { until } from '../../test/kit/until.ts';

const MAX_MEMBERS = 40;

const user = (id: number): As => ({ userId: BigInt(id), tenantId: 1n });
const [ana, binh, chi, dung, stranger] = [user(1), user(2), user(3), user(4), user(99)];
const foreigner = { userId: 1n, tenantId: 2n };
const crm = { userId: 0n, tenantId: 1n, roles: ['discuss.service'] };
const crmForStranger = { ...crm, userId: stranger.userId };

describe('MemberService', () => {
  let the: App;

  before(async () => {
    the = await app({ CHANNEL_MAX_MEMBERS: `${MAX_MEMBERS}` });
    await the.start();
  });
  after(() => the.close());

  const members = (as: As, instance = 0, edge: Edge = 'grpc') =>
    the.client(MemberService, as, edge, instance);
  const channels = (as: As) => the.client(ChannelService, as);

  /** A group with ana as owner and the others with the roles given. */
  const group = async (roles: Record<number, string> = {}, isPrivate = false) => {
    const memberUserIds = Object.keys(roles).map(BigInt);
    const { channel } = await channels(ana).createChannel({
      name: 'nhóm',
      private: isPrivate,
      memberUserIds,
    });
    const channelId = channel?.id ?? 0n;
    for (const [id, role] of Object.entries(roles))
      await the.owner`
        update channel_members set role = ${role} where channel_id = ${channelId} and user_id = ${BigInt(id)}
      `;
    return channelId;
  };
  const send = async (channelId: bigint, as: As = ana) => {
    const { message } = await the.client(MessageService, as).sendMessage({ channelId, content: 'tin' });
    return message?.id ?? 0n;
  };
  const own = async (channelId: bigint, as: As) => (await channels(as).getChannel({ channelId })).membership;
  const count = async (channelId: bigint) =>
    (await channels(crm).getChannel({ channelId })).channel?.memberCount;
  /** The last change, without the notice that follows it. */
  const lastEvent = async (channelId: bigint): Promise<Event> => {
    const rows = await the.owner<{ payload: Buffer }[]>`
      select payload from channel_events where channel_id = ${channelId} order by seq desc limit 2
    `;
    const event = rows
      .map(({ payload }) => fromBinary(EventSchema, payload))
      .find((event) => !isNotice(event));
    assert.ok(event);
    return event;
  };

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

  describe('ListMembers', () => {
    it('lists by role and then by user, in pages of any size', async () => {
      const channelId = await group({
        9: 'GUEST',
        8: 'MEMBER',
        7: 'ADMIN',
        6: 'MEMBER',
        5: 'ADMIN',
        4: 'OWNER',
        3: 'GUEST',
      });
      await members(ana).removeMember({ channelId, userId: 6n });
      const expected = [1n, 4n, 5n, 7n, 8n, 3n, 9n];
      for (const pageSize of [1, 2, 3, 7, 100]) {
        const listed: bigint[] = [];
        let pageToken = '';
        do {
          const page = await members(user(9), 1, 'web').listMembers({ channelId, pageSize, pageToken });
          assert.ok(page.members.length <= pageSize);
          listed.push(...page.members.map(({ userId }) => userId));
          pageToken = page.nextPageToken;
        } while (pageToken !== '');
        assert.deepEqual(listed, expected, `pages of ${pageSize}`);
      }
    });

    it('returns nicknames and join times', async () => {
      const channelId = await group({ 2: 'MEMBER' });
      await the.owner`
        update channel_members set metadata = '{"nickname": "Sếp"}' where channel_id = ${channelId} and user_id = 2
      `;
      const listed = await members(ana).listMembers({ channelId });
      const membership = await own(channelId, binh);
      assert.equal(listed.members[1]?.nickname, 'Sếp');
      assert.deepEqual(listed.members[1]?.joinTime, membership?.joinTime);
      assert.deepEqual(membership?.metadata, { nickname: 'Sếp' });
    });

    it('is allowed for members, and for services without a user', async () => {
      const [shown, hidden] = [await group(), await group({}, true)];
      await rejects(
        members(stranger).listMembers({ channelId: shown }),
        Code.PermissionDenied,
        'ROLE_TOO_LOW',
      );
      for (const as of [stranger, foreigner, crmForStranger])
        await rejects(members(as).listMembers({ channelId: hidden }), Code.NotFound, 'CHANNEL_NOT_FOUND');
      const { members: listed } = await members(crm).listMembers({ channelId: hidden });
      assert.equal(listed.length, 1);
      assert.deepEqual(await fieldsOf(members(ana).listMembers({ channelId: shown, pageToken: 'x' })), [
        'page_token',
      ]);
    });
  });

  describe('MarkRead', () => {
    it('moves forward only, to a message or, if all are read, to the newest, and returns the exact unread count', async () => {
      const channelId = await group({ 2: 'MEMBER' });
      const ids: bigint[] = [];
      for (const as of [ana, ana, binh, ana, binh, ana]) ids.push(await send(channelId, as));
      const mark = (index: number) => members(binh).markRead({ channelId, messageId: ids[index] ?? 0n });
      assert.equal((await own(channelId, binh))?.unreadCount, 4);
      const steps = [await mark(1), await mark(3), await mark(0), await mark(2)];
      assert.deepEqual(
        steps.map(({ lastReadMessageId, unreadCount }) => [ids.indexOf(lastReadMessageId), unreadCount]),
        [
          [1, 2],
          [3, 1],
          [3, 1],
          [3, 1],
        ],
      );
      const all = await members(binh, 1, 'web').markRead({ channelId, all: true });
      assert.deepEqual([all.lastReadMessageId, all.unreadCount], [ids[5], 0]);
      assert.equal((await stored(the, channelId, binh)).unreadCount, 0);
      assert.equal((await members(ana).markRead({ channelId, messageId: ids[2] ?? 0n })).unreadCount, 1);
    });

    it('excludes own and deleted messages from the count at every marker', async () => {
      const senders = [binh, ana, binh, binh, ana, binh, ana, ana, binh];
      const deleted = [0, 3, 4, 5, 8];
      for (const from of senders.keys()) {
        const channelId = await group({ 2: 'MEMBER' });
        const ids: bigint[] = [];
        for (const as of senders) ids.push(await send(channelId, as));
        for (const index of deleted)
          await the.owner`update messages set is_deleted = true where id = ${ids[index] ?? 0n}`;
        for (const index of ids.keys()) {
          if (index < from) continue;
          const { unreadCount } = await members(binh).markRead({ channelId, messageId: ids[index] ?? 0n });
          const left = [...senders.keys()].filter(
            (i) => i > index && senders[i] === ana && !deleted.includes(i),
          );
          assert.equal(unreadCount, left.length, `at ${index}, first at ${from}`);
        }
      }
    });

    for (const order of [
      [1, 3],
      [3, 1],
    ]) {
      it(`keeps the farther of two concurrent moves, in the order ${order.join(', ')}`, async () => {
        const channelId = await group({ 2: 'MEMBER' });
        const ids: bigint[] = [];
        for (const as of [ana, binh, ana, binh, ana]) ids.push(await send(channelId, as));
        const calls: Promise<unknown>[] = [];
        await the.owner.begin(async (sql) => {
          await sql`select from channel_members where channel_id = ${channelId} and user_id = 2 for update`;
          for (const index of order) {
            calls.push(members(binh, index % 2).markRead({ channelId, messageId: ids[index] ?? 0n }));
            await untilLocksAreAwaited(the, calls.length);
          }
        });
        await Promise.all(calls);
        const membership = await own(channelId, binh);
        assert.deepEqual([membership?.lastReadMessageId, membership?.unreadCount], [ids[3], 1]);
        assert.equal((await stored(the, channelId, binh)).unreadCount, 1);
      });
    }

    it('is rejected when the membership ends meanwhile', async () => {
      const channelId = await group({ 2: 'MEMBER' }, true);
      const messageId = await send(channelId);
      let call: Promise<unknown> = Promise.resolve();
      await the.owner.begin(async (sql) => {
        await sql`update channel_members set status = 'REMOVED' where channel_id = ${channelId} and user_id = 2`;
        call = members(binh).markRead({ channelId, messageId });
        call.catch(() => {});
        await untilLocksAreAwaited(the, 1);
      });
      await rejects(call, Code.NotFound, 'CHANNEL_NOT_FOUND');
    });

    it('signals the reader’s streams on every instance, and no others', async () => {
      const channelId = await group({ 2: 'MEMBER' });
      const messageId = await send(channelId);
      const streams = await Promise.all([
        new Subscriber(the.client(EventService, binh, 'grpc', 0), [channelId]).connect(),
        new Subscriber(the.client(EventService, binh, 'web', 1), [channelId]).connect(),
        new Subscriber(the.client(EventService, ana, 'grpc', 1), [channelId]).connect(),
      ]);
      const [first, second, others] = streams;
      await members(binh).markRead({ channelId, messageId });
      await until(() => first?.count('readMarkerMoved') === 1 && second?.count('readMarkerMoved') === 1);
      const moved = second?.last('readMarkerMoved')?.value;
      assert.deepEqual(
        [moved?.channelId, moved?.lastReadMessageId, moved?.unreadCount],
        [channelId, messageId, 0],
      );
      await members(binh).markRead({ channelId, messageId });
      await send(channelId);
      await until(
        () => first?.events.length === 1 && second?.events.length === 1 && others?.events.length === 1,
      );
      assert.deepEqual(
        streams.map((stream) => stream.count('readMarkerMoved')),
        [1, 1, 0],
      );
      await Promise.all(streams.map((stream) => stream.disconnect()));
    });

    it('does nothing in a channel without messages', async () => {
      const channelId = await group();
      const { lastReadMessageId, unreadCount } = await members(ana).markRead({ channelId, all: true });
      assert.deepEqual([lastReadMessageId, unreadCount], [0n, 0]);
      await rejects(members(ana).markRead({ channelId, messageId: 1n }), Code.NotFound, 'MESSAGE_NOT_FOUND');
    });

    it('rejects messages of other channels, and channels of others', async () => {
      const [shown, hidden] = [await group(), await group({}, true)];
      const messageId = await send(hidden);
      await send(shown);
      const mark = (as: As, channelId: bigint) => members(as).markRead({ channelId, messageId });
      await rejects(mark(ana, shown), Code.NotFound, 'MESSAGE_NOT_FOUND');
      await rejects(mark(stranger, shown), Code.NotFound, 'MEMBER_NOT_FOUND');
      await rejects(mark(stranger, hidden), Code.NotFound, 'CHANNEL_NOT_FOUND');
      await rejects(mark(foreigner, hidden), Code.NotFound, 'CHANNEL_NOT_FOUND');
      assert.deepEqual(await fieldsOf(members(ana).markRead({ channelId: shown, messageId: -1n })), [
        'message_id',
      ]);
      for (const to of [{}, { messageId: 0n }, { messageId, all: true }])
        assert.deepEqual(await fieldsOf(members(ana).markRead({ channelId: hidden, ...to })), ['request']);
      assert.equal((await own(hidden, ana))?.lastReadMessageId, 0n);
    });
  });

  describe('GetUnreadSummary', () => {
    it('counts all channels in one response, the latest first, muted ones not in the total', async () => {
      const me = { userId: 50n, tenantId: 5n };
      const you = { userId: 51n, tenantId: 5n };
      const ids: bigint[] = [];
      for (const name of ['một', 'im', 'lặng', 'cất', 'đọc rồi']) {
        const { channel } = await channels(you).createChannel({ name, memberUserIds: [50n] });
        ids.push(channel?.id ?? 0n);
      }
      const [one = 0n, quiet = 0n, muted = 0n, archived = 0n, read = 0n] = ids;
      for (const channelId of [read, archived, muted, muted, one, one, one]) await send(channelId, you);
      await send(one, me);
      await members(me).markRead({ channelId: read, all: true });
      await the.owner`update channel_members set is_muted = true where channel_id = ${muted} and user_id = 50`;
      await the.owner`update channels set is_archived = true where id = ${archived}`;
      await the.owner`update channels set last_message_at = 1000 where id = ${muted}`;
      const summary = await members(me, 1, 'web').getUnreadSummary({});
      assert.deepEqual(
        summary.entries.map(({ channelId, unreadCount }) => [channelId, unreadCount]),
        [
          [one, 3],
          [muted, 2],
        ],
      );
      assert.equal(summary.totalUnreadCount, 3n);
      assert.equal(summary.entries[1]?.lastMessageTime?.seconds, 1n);
      assert.ok(quiet > 0n);
      const outsider = await members({ userId: 50n, tenantId: 6n }).getUnreadSummary({});
      assert.deepEqual([outsider.entries, outsider.totalUnreadCount], [[], 0n]);
    });
  });
});

async function fieldsOf(call: Promise<unknown>): Promise<string[]> {
  const error = await rejects(call, Code.InvalidArgument, 'FIELD_INVALID');
  const violations = error.findDetails(BadRequestSchema).flatMap(({ fieldViolations }) => fieldViolations);
  return [...new Set(violations.map(({ field }) => field))];
}

async function stored(the: App, channelId: bigint, { userId }: As) {
  const [row] = await the.owner<{ unreadCount: number; leftAt: bigint | null; removedBy: bigint | null }[]>`
    select unread_count, left_at, removed_by
    from channel_members
    where channel_id = ${channelId} and user_id = ${userId}
  `;
  assert.ok(row);
  return { ...row };
}
