import assert from 'node:assert/strict';
import { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import type { Event } from '#gen/serp/discuss/v1/event_pb.ts';
import type { Member, MemberRole } from '#gen/serp/discuss/v1/member_pb.ts';
import { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import type { App, As, Edge } from './app.ts';
import { loggedEvents } from './logged-events.ts';
import { isNotice, type Subscriber } from './stream.ts';

const ana: As = { userId: 1n, tenantId: 1n };
const crm: As = { userId: 0n, tenantId: 1n, roles: ['discuss.service'] };

/** Groups with members of all roles, and what is stored of them, in an app that may be opened later. */
export function memberFixture(the: () => App) {
  const members = (as: As, instance = 0, edge: Edge = 'grpc') =>
    the().client(MemberService, as, edge, instance);
  const channels = (as: As) => the().client(ChannelService, as);
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
      await the().owner`
        update channel_members set role = ${role} where channel_id = ${channelId} and user_id = ${BigInt(id)}
      `;
    return channelId;
  };
  /** The same by AddMembers, with its events. */
  const groupByCalls = async (roles: Record<number, MemberRole> = {}, isPrivate = false) => {
    const { channel } = await channels(ana).createChannel({ name: 'nhóm', private: isPrivate });
    const channelId = channel?.id ?? 0n;
    for (const [id, role] of Object.entries(roles))
      await members(ana).addMembers({ channelId, userIds: [BigInt(id)], role });
    return channelId;
  };
  const send = async (channelId: bigint, as: As = ana) => {
    const { message } = await the().client(MessageService, as).sendMessage({ channelId, content: 'tin' });
    return message?.id ?? 0n;
  };
  const own = async (channelId: bigint, as: As) => (await channels(as).getChannel({ channelId })).membership;
  const count = async (channelId: bigint) =>
    (await channels(crm).getChannel({ channelId })).channel?.memberCount;
  /** The last change, without the notice that follows it. */
  const lastEvent = async (channelId: bigint): Promise<Event> => {
    const event = (await loggedEvents(the(), channelId)).findLast((event) => !isNotice(event));
    assert.ok(event);
    return event;
  };
  const list = async (channelId: bigint) =>
    (await members(crm).listMembers({ channelId, pageSize: 100 })).members;
  const rolesOf = async (channelId: bigint) =>
    Object.fromEntries((await list(channelId)).map(({ userId, role }) => [`${userId}`, role]));
  const archive = (channelId: bigint) =>
    the().owner`update channels set is_archived = true where id = ${channelId}`;
  return { members, channels, group, groupByCalls, send, own, count, lastEvent, list, rolesOf, archive };
}

/** Members by their user. */
export function byId(members: readonly Member[]): Map<bigint, Member> {
  return new Map(members.map((member) => [member.userId, member]));
}

/** Members as a client knows them that read them before a stream received its events. */
export function replay(before: readonly Member[], { events }: Subscriber): Map<bigint, Member> {
  const state = byId(before);
  for (const { change } of events)
    if (change.case === 'membersChanged')
      for (const member of change.value.members) state.set(member.userId, member);
  return state;
}

/** The state of a membership in the database. */
export async function stored(the: App, channelId: bigint, { userId }: As) {
  const [row] = await the.owner<{ unreadCount: number; leftAt: bigint | null; removedBy: bigint | null }[]>`
    select unread_count, left_at, removed_by
    from channel_members
    where channel_id = ${channelId} and user_id = ${userId}
  `;
  assert.ok(row);
  return { ...row };
}
