import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Code } from '@connectrpc/connect';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { type FormerMember, MemberRole } from '#gen/serp/discuss/v1/member_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { type App, type As, app, type Edge } from '../../test/kit/app.ts';
import { rejects } from '../../test/kit/rejects.ts';

const user = (id: number): As => ({ userId: BigInt(id), tenantId: 1n });
const [ana, binh, chi, stranger] = [user(1), user(2), user(3), user(99)];
const crm: As = { userId: 0n, tenantId: 1n, roles: ['discuss.service'] };
const { MEMBER, ADMIN, GUEST } = MemberRole;

describe('former members', () => {
  let the: App;

  before(async () => {
    the = await app();
  });
  after(() => the.close());

  const members = (as: As, edge: Edge = 'grpc') => the.client(MemberService, as, edge);
  const group = async () => {
    const { channel } = await the.client(ChannelService, ana).createChannel({ name: 'nhóm' });
    const channelId = channel?.id ?? 0n;
    await members(ana).addMembers({ channelId, userIds: [3n], role: ADMIN });
    await members(ana).addMembers({ channelId, userIds: [2n, 4n, 5n, 6n] });
    await members(ana).addMembers({ channelId, userIds: [7n], role: GUEST });
    return channelId;
  };
  const listAll = async (as: As, channelId: bigint, edge: Edge = 'grpc') => {
    const found: FormerMember[] = [];
    for (let pageToken = ''; ; ) {
      const page = await members(as, edge).listMembers({ channelId, former: true, pageSize: 2, pageToken });
      assert.deepEqual(page.members, []);
      found.push(...page.formerMembers);
      if (page.nextPageToken === '') return found;
      pageToken = page.nextPageToken;
    }
  };

  it('are listed for admins with the end of their membership, on both edges', async () => {
    const channelId = await group();
    const { members: listed } = await members(ana).listMembers({ channelId });
    await members(user(6)).leaveChannel({ channelId });
    await members(chi).removeMember({ channelId, userId: 4n });
    await members(crm).removeMember({ channelId, userId: 7n });
    const found = await listAll(ana, channelId);
    assert.deepEqual(
      found.map(({ userId, role, removed, removerId }) => [userId, role, removed, removerId]),
      [
        [4n, MEMBER, true, 3n],
        [6n, MEMBER, false, 0n],
        [7n, GUEST, true, 0n],
      ],
    );
    const [row] = await the.owner<{ left: bigint }[]>`
      select left_at as left from channel_members where channel_id = ${channelId} and user_id = 4
    `;
    const { leaveTime, joinTime } = found[0] ?? {};
    assert.equal((leaveTime?.seconds ?? 0n) * 1000n + BigInt((leaveTime?.nanos ?? 0) / 1e6), row?.left);
    assert.deepEqual(joinTime, listed.find(({ userId }) => userId === 4n)?.joinTime);
    for (const as of [chi, crm]) assert.deepEqual(await listAll(as, channelId, 'web'), found);
  });

  it('are members again after they join again', async () => {
    const channelId = await group();
    await members(user(6)).leaveChannel({ channelId });
    await members(ana).removeMember({ channelId, userId: 4n });
    await members(user(6)).joinChannel({ channelId });
    await members(ana).addMembers({ channelId, userIds: [4n] });
    assert.deepEqual(await listAll(ana, channelId), []);
    const { members: current, formerMembers } = await members(ana).listMembers({ channelId });
    assert.deepEqual([current.length, formerMembers], [7, []]);
  });

  it('are not shown to members below ADMIN, to themselves and to outsiders', async () => {
    const channelId = await group();
    await members(user(6)).leaveChannel({ channelId });
    for (const as of [binh, user(6), user(7), stranger])
      await rejects(listAll(as, channelId), Code.PermissionDenied, 'ROLE_TOO_LOW');
    await rejects(listAll({ ...ana, tenantId: 2n }, channelId), Code.NotFound, 'CHANNEL_NOT_FOUND');
    await rejects(listAll({ ...crm, tenantId: 2n }, channelId), Code.NotFound, 'CHANNEL_NOT_FOUND');
  });
});
