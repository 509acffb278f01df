import type { JsonObject } from '@bufbuild/protobuf';
import { type PatchableEvent, toPatchable } from '../event/log/wire.ts';
import type { MemberRow } from '../membership/sql.ts';
import { toMember } from '../membership/view.ts';

/** The event that a member left, or was removed by the actor. */
export function toMemberLeft(channelId: bigint, actorId: bigint, userId: bigint): PatchableEvent {
  const change = { case: 'memberLeft', value: { userId, removed: userId !== actorId } } as const;
  return toPatchable({ channelId, actorId, change });
}

/** The event that roles or nicknames of members changed. */
export function toMembersChanged(
  channelId: bigint,
  actorId: bigint,
  rows: readonly MemberRow[],
): PatchableEvent {
  const change = { case: 'membersChanged', value: { members: rows.map(toMember) } } as const;
  return toPatchable({ channelId, actorId, change });
}

/** Details of a member's change in the audit log. */
export function toAudit(channelId: bigint, userId: bigint, more: JsonObject = {}): JsonObject {
  return { channel_id: `${channelId}`, user_id: `${userId}`, ...more };
}
