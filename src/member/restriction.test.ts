import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Code, ConnectError } from '@connectrpc/connect';
import { AttachmentService } from '#gen/serp/discuss/v1/attachment_service_pb.ts';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { EventService } from '#gen/serp/discuss/v1/event_service_pb.ts';
import { type Member, MemberRole } from '#gen/serp/discuss/v1/member_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { SystemNoticeKind as Kind, MessageType } from '#gen/serp/discuss/v1/message_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { PresenceService } from '#gen/serp/discuss/v1/presence_service_pb.ts';
import { type App, type As, CONCURRENT, type Edge, fileApp } from '../../test/kit/app.ts';
import { createRandom } from '../../test/kit/random.ts';
import { assertNothingToRepair } from '../../test/kit/reconcile.ts';
import { rejects } from '../../test/kit/rejects.ts';
import { Subscriber } from '../../test/kit/stream.ts';
import { until } from '../../test/kit/until.ts';
import { PNG, uploadOf } from '../../test/kit/uploads.ts';
import { toTimestamp } from '../db/time.ts';

const user = (id: number, name?: string): As => ({
  userId: BigInt(id),
  tenantId: 1n,
  ...(name === undefined ? {} : { name }),
});
const [ana, binh, chi, dung, stranger] = [user(1, 'An'), user(2), user(3), user(4), user(99)];
const crm: As = { userId: 0n, tenantId: 1n, roles: ['discuss.service'] };
const { GUEST, MEMBER, ADMIN, OWNER } = MemberRole;
const EDGES: readonly Edge[] = ['grpc', 'web'];
const HOUR_MS = 3_600_000;

describe('restricted members', () => {
  let the: App;

  before(async () => {
    the = await fileApp(CONCURRENT);
    await the.start();
  });
  after(() => the.close());

  const members = (as: As, edge: Edge = 'grpc', instance = 0) =>
    the.client(MemberService, as, edge, instance);
  const messages = (as: As, edge: Edge = 'grpc') => the.client(MessageService, as, edge, 1);
  const channels = (as: As) => the.client(ChannelService, as);
  const group = async (roles: Record<number, MemberRole> = { 2: MEMBER }) => {
    const { channel } = await channels(ana).createChannel({ name: 'nhóm' });
    const channelId = channel?.id ?? 0n;
    for (const [id, role] of Object.entries(roles))
      await members(ana).addMembers({ channelId, userIds: [BigInt(id)], role });
    return channelId;
  };
  const list = async (channelId: bigint, edge: Edge = 'grpc') =>
    (await members(crm, edge, 1).listMembers({ channelId, pageSize: 100 })).members;
  const find = async (channelId: bigint, userId = 2n) =>
    (await list(channelId)).find((member) => member.userId === userId);
  const send = async (as: As, channelId: bigint, edge: Edge = 'grpc') =>
    (await messages(as, edge).sendMessage({ channelId, content: 'tin' })).message?.id ?? 0n;
  const restrict = (as: As, channelId: bigint, fields: object = {}, edge: Edge = 'grpc') =>
    members(as, edge).restrictMember({ channelId, userId: 2n, ...fields });
  const isMuted = (call: Promise<unknown>) => rejects(call, Code.PermissionDenied, 'ROLE_TOO_LOW');
  const inOneHour = () => toTimestamp(BigInt(Date.now() + HOUR_MS));

  for (const edge of EDGES)
    it(`read, delete their own messages and do nothing else, until the right is returned (${edge})`, async () => {
      const channelId = await group();
      const [own, other] = [await send(binh, channelId), await send(ana, channelId)];
      const poll = { options: ['có', 'không'] };
      const asked = await messages(ana).sendMessage({
        channelId,
        type: MessageType.POLL,
        content: 'Đi?',
        poll,
      });
      const { member } = await restrict(ana, channelId, {}, edge);
      assert.deepEqual([member?.restricted, member?.restrictionExpireTime], [true, undefined]);
      const writes: (() => Promise<unknown>)[] = [
        () => messages(binh, edge).sendMessage({ channelId, content: 'x' }),
        () => messages(binh, edge).sendMessage({ channelId, content: '@', mentionUserIds: [1n] }),
        () =>
          messages(binh, edge).editMessage({
            channelId,
            messageId: own,
            content: 'khác',
            updateMask: { paths: ['content'] },
          }),
        () => messages(binh, edge).addReaction({ channelId, messageId: other, emoji: '👍' }),
        () =>
          messages(binh, edge).votePoll({
            channelId,
            messageId: asked.message?.id ?? 0n,
            optionIds: [1],
          }),
        () => messages(binh, edge).pinMessage({ channelId, messageId: other }),
        () => the.client(PresenceService, binh, edge, 1).startTyping({ channelId }),
        () => the.client(AttachmentService, binh, edge, 1).createUpload(uploadOf(channelId, 'a.png', PNG)),
      ];
      for (const write of writes) await isMuted(write());
      assert.ok((await messages(binh, edge).listMessages({ channelId })).messages.length >= 3);
      assert.equal((await members(binh, edge).markRead({ channelId, all: true })).unreadCount, 0);
      await messages(binh, edge).deleteMessage({ channelId, messageId: own });
      const { member: free } = await members(ana, edge).unrestrictMember({ channelId, userId: 2n });
      assert.deepEqual([free?.restricted, await find(channelId)], [false, free]);
      for (const write of [writes[0], ...writes.slice(3)]) await write?.();
      await assertNothingToRepair(the);
    });

  it('learn of it by an event and a notice, and see the restriction in their own membership', async () => {
    const channelId = await group({ 2: MEMBER, 3: ADMIN });
    const stream = await new Subscriber(the.client(EventService, binh, 'web', 1), [channelId]).connect();
    const expireTime = inOneHour();
    const { member } = await members({ ...chi, name: 'Chi' }).restrictMember({
      channelId,
      userId: 2n,
      expireTime,
    });
    await until(() => stream.events.length === 2, 'the event and its notice');
    const [changed, posted] = stream.events.map(({ change }) => change);
    assert.ok(changed?.case === 'membersChanged' && posted?.case === 'messageCreated');
    assert.deepEqual(changed.value.members, [member]);
    assert.deepEqual(member?.restrictionExpireTime, expireTime);
    const { notice, content } = posted.value.message ?? {};
    assert.deepEqual(
      [notice?.kind, notice?.actorId, notice?.userIds, notice?.expireTime, content],
      [Kind.MEMBER_RESTRICTED, 3n, [2n], expireTime, 'Chi took the right to post from 1 person'],
    );
    const { channel, membership } = await channels(binh).getChannel({ channelId });
    assert.deepEqual([membership?.restricted, membership?.restrictionExpireTime], [true, expireTime]);
    assert.equal(channel?.memberCount, 3, 'a restricted member is a member');
    await members(ana).unrestrictMember({ channelId, userId: 2n });
    await until(() => stream.events.length === 4, 'the event of the end');
    const last = stream.events[3]?.change;
    assert.ok(last?.case === 'messageCreated');
    assert.equal(last.value.message?.notice?.kind, Kind.MEMBER_UNRESTRICTED);
    assert.equal((await channels(binh).getChannel({ channelId })).membership?.restricted, false);
    await stream.disconnect();
  });

  it('may post again from the expiry on, by the clock of the database', async (t) => {
    const channelId = await group();
    const before = await find(channelId);
    await restrict(ana, channelId, { expireTime: inOneHour() });
    t.mock.timers.enable({ apis: ['Date'], now: Date.now() + HOUR_MS / 2 });
    await isMuted(send(binh, channelId));
    t.mock.timers.reset();
    const { headSeq } = await channels(ana).getChannel({ channelId });
    await the.owner`
      update channel_members set restricted_until = now_ms() where channel_id = ${channelId} and user_id = 2
    `;
    const messageId = await send(binh, channelId);
    await messages(binh).addReaction({ channelId, messageId, emoji: '👍' });
    await the.client(PresenceService, binh).startTyping({ channelId });
    assert.deepEqual(await find(channelId), before);
    assert.equal((await channels(binh).getChannel({ channelId })).headSeq, headSeq + 2n);
    await restrict(ana, channelId);
    await isMuted(send(binh, channelId));
    await the.owner`
      update channel_members set restricted_until = now_ms() + 300 where channel_id = ${channelId} and user_id = 2
    `;
    await until(() => send(binh, channelId).then(Boolean, () => false), 'the expiry');
  });

  it('remain restricted when they leave and join again, or are removed and added', async () => {
    const channelId = await group();
    const expireTime = inOneHour();
    await restrict(ana, channelId, { expireTime });
    await members(binh).leaveChannel({ channelId });
    const { membership } = await members(binh, 'web').joinChannel({ channelId });
    assert.deepEqual([membership?.restricted, membership?.restrictionExpireTime], [true, expireTime]);
    await isMuted(send(binh, channelId));
    await members(ana).removeMember({ channelId, userId: 2n });
    const { added } = await members(ana).addMembers({ channelId, userIds: [2n] });
    assert.equal(added[0]?.restricted, true);
    await members(binh).leaveChannel({ channelId });
    await the.owner`
      update channel_members set restricted_until = now_ms() where channel_id = ${channelId} and user_id = 2
    `;
    assert.equal((await members(binh).joinChannel({ channelId })).membership?.restricted, false);
    await send(binh, channelId);
    await assertNothingToRepair(the);
  });

  it('are restricted once by repeated calls, and by callers who have seen the current version', async () => {
    const channelId = await group();
    const etag = (await find(channelId))?.etag ?? '';
    const expireTime = inOneHour();
    const first = await restrict(ana, channelId, { expireTime, etag });
    const { headSeq } = await channels(ana).getChannel({ channelId });
    assert.deepEqual(await restrict(ana, channelId, { expireTime, etag }, 'web'), first);
    await rejects(restrict(ana, channelId, { etag }), Code.Aborted, 'ETAG_MISMATCH');
    const end = members(ana).unrestrictMember({ channelId, userId: 2n, etag });
    await rejects(end, Code.Aborted, 'ETAG_MISMATCH');
    assert.equal((await channels(ana).getChannel({ channelId })).headSeq, headSeq);
    const longer = await restrict(ana, channelId, { etag: first.member?.etag });
    assert.equal(longer.member?.restrictionExpireTime, undefined);
    const free = await members(ana).unrestrictMember({ channelId, userId: 2n });
    assert.deepEqual(await members(ana, 'web').unrestrictMember({ channelId, userId: 2n, etag: 'x' }), free);
    assert.equal(free.member?.etag, etag);
    await restrict(ana, channelId, { expireTime });
    const [row] = await the.owner<{ at: bigint }[]>`
      update channel_members set restricted_until = now_ms() where channel_id = ${channelId} and user_id = 2
      returning restricted_until as at
    `;
    const late = await restrict(ana, channelId, { expireTime: toTimestamp(row?.at ?? 0n) });
    assert.equal(late.member?.restricted, false, 'a call that is repeated after the expiry');
  });

  it('are restricted by admins, not above their own role, in groups and topics that are not archived', async () => {
    const channelId = await group({ 2: MEMBER, 3: ADMIN, 4: GUEST });
    const attempt = (as: As, userId: bigint, expireTime = inOneHour()) =>
      members(as).restrictMember({ channelId, userId, expireTime });
    for (const as of [binh, dung, stranger]) await isMuted(attempt(as, 3n));
    await isMuted(attempt(chi, 1n));
    await rejects(attempt({ ...ana, tenantId: 2n }, 2n), Code.NotFound, 'CHANNEL_NOT_FOUND');
    await rejects(attempt(ana, 77n), Code.NotFound, 'MEMBER_NOT_FOUND');
    await rejects(attempt(chi, 3n), Code.InvalidArgument, 'FIELD_INVALID');
    const past = toTimestamp(BigInt(Date.now() - HOUR_MS));
    await rejects(attempt(chi, 2n, past), Code.InvalidArgument, 'FIELD_INVALID');
    assert.equal((await attempt(chi, 2n)).member?.restricted, true);
    await restrict(chi, channelId, { userId: 4n });
    await isMuted(members(dung).unrestrictMember({ channelId, userId: 2n }));
    assert.equal((await attempt(crm, 1n)).member?.restricted, true);
    assert.equal((await attempt(ana, 3n)).member?.restricted, true, 'restricted admins remain admins');
    await rejects(
      members(ana).unrestrictMember({ channelId, userId: 1n }),
      Code.InvalidArgument,
      'FIELD_INVALID',
    );
    await members(ana).transferOwnership({ channelId, userId: 3n });
    assert.deepEqual(
      (await list(channelId)).map(({ userId, role, restricted }) => [userId, role, restricted]),
      [
        [3n, OWNER, false],
        [1n, ADMIN, true],
        [2n, MEMBER, true],
        [4n, GUEST, true],
      ],
    );
    await channels(chi).archiveChannel({ channelId });
    await rejects(attempt(chi, 2n), Code.FailedPrecondition, 'CHANNEL_ARCHIVED');
    const { channel } = await channels(ana).getOrCreateDirectChannel({ userId: 2n });
    const direct = restrict(ana, channel?.id ?? 0n);
    await rejects(direct, Code.FailedPrecondition, 'CHANNEL_IS_DIRECT');
  });

  it('are in events as in lists, after random concurrent changes of members', async () => {
    const random = createRandom(20_261_127);
    console.log(`# seed ${random.seed}`);
    const channelId = await group({ 2: MEMBER, 3: MEMBER, 4: MEMBER, 5: ADMIN });
    const start = new Map((await list(channelId)).map((member) => [member.userId, member]));
    const stream = await new Subscriber(the.client(EventService, ana, 'web', 1), [channelId]).connect();
    const act = async () => {
      const userId = BigInt(2 + random.below(4));
      const admin = members(ana, random.pick(EDGES), random.below(2));
      const own = members(user(Number(userId)), random.pick(EDGES), random.below(2));
      const role = random.pick([GUEST, MEMBER, ADMIN]);
      const change = random.pick([
        () => admin.restrictMember({ channelId, userId }),
        () => admin.restrictMember({ channelId, userId, expireTime: inOneHour() }),
        () => admin.unrestrictMember({ channelId, userId }),
        () => admin.updateMemberRole({ channelId, userId, role }),
        () => admin.removeMember({ channelId, userId }),
        () => admin.addMembers({ channelId, userIds: [userId] }),
        () => own.leaveChannel({ channelId }),
        () => own.joinChannel({ channelId }),
      ]);
      await change().catch((error) => {
        const { code } = ConnectError.from(error);
        if (code !== Code.NotFound) throw error;
      });
    };
    for (let round = 0; round < 15; round += 1) await Promise.all(Array.from({ length: 8 }, act));
    const { channel, headSeq } = await channels(ana).getChannel({ channelId });
    await until(() => stream.cursors.get(channelId) === headSeq, 'all events');
    for (const edge of EDGES)
      assert.deepEqual(
        replay(start, stream),
        new Map((await list(channelId, edge)).map((member) => [member.userId, member])),
      );
    assert.equal(channel?.memberCount, (await list(channelId)).length);
    assert.deepEqual(stream.faults, []);
    await stream.disconnect();
    await assertNothingToRepair(the);
  });
});

function replay(start: ReadonlyMap<bigint, Member>, { events }: Subscriber): Map<bigint, Member> {
  const state = new Map(start);
  for (const { change } of events) {
    if (change.case === 'memberLeft') state.delete(change.value.userId);
    if (change.case === 'membersJoined' || change.case === 'membersChanged')
      for (const member of change.value.members) state.set(member.userId, member);
  }
  return state;
}
