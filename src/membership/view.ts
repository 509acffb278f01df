import type { MessageInitShape } from '@bufbuild/protobuf';
import {
  MemberRole,
  type MemberSchema,
  type MembershipSchema,
  NotificationLevel,
} from '#gen/serp/discuss/v1/member_pb.ts';
import { columnEnum } from '../db/column-enum.ts';
import { fromMetadataJson } from '../db/metadata.ts';
import { toTimestamp } from '../db/time.ts';
import { type PatchableEvent, toPatchable } from '../event/log/wire.ts';
import { etagOf } from '../rpc/etag.ts';
import type { ChannelStateRow, MemberRow, MembershipRow, RestrictionColumns, Role } from './sql.ts';

/** A member as visible to all members of the channel. */
export function toMember(row: MemberRow): MessageInitShape<typeof MemberSchema> {
  return {
    userId: row.userId,
    role: toRole(row.role),
    nickname: row.nickname ?? '',
    joinTime: toTimestamp(row.joinedAt),
    etag: memberEtag(row),
    ...toRestriction(row),
  };
}

/** Version of what UpdateMemberRole, RestrictMember and RemoveMember change. */
export function memberEtag(row: Pick<MemberRow, 'role' | 'joinedAt'> & RestrictionColumns): string {
  const { role, joinedAt, isRestricted, restrictedUntil } = row;
  return isRestricted ? etagOf(role, joinedAt, restrictedUntil) : etagOf(role, joinedAt);
}

function toRestriction({ isRestricted, restrictedUntil }: RestrictionColumns) {
  return {
    restricted: isRestricted,
    restrictionExpireTime: isRestricted ? toTimestamp(restrictedUntil) : undefined,
  };
}

/** The caller's membership of a channel. */
export function toMembership(
  channelId: bigint,
  row: MembershipRow,
): MessageInitShape<typeof MembershipSchema> {
  return {
    channelId,
    role: toRole(row.role),
    joinTime: toTimestamp(row.joinedAt),
    lastReadMessageId: row.lastReadMsgId ?? 0n,
    unreadCount: row.unreadCount,
    pinned: row.isPinned,
    muted: row.isMuted,
    notificationLevel: levels.toValue(row.notificationLevel) ?? NotificationLevel.UNSPECIFIED,
    metadata: fromMetadataJson(row.memberMetadata),
    etag: membershipEtag(row),
    version: row.memberVersion,
    ...toRestriction(row),
  };
}

/** Version of what UpdateMembership changes. */
export function membershipEtag(row: MembershipRow): string {
  return etagOf(row.isPinned, row.isMuted, row.notificationLevel, row.memberMetadata);
}

/** The state of a channel for the caller when a stream starts. */
export function toChannelState(row: ChannelStateRow) {
  return { channelId: row.channelId, headSeq: row.headSeq, membership: toMembership(row.channelId, row) };
}

/** The event that users became members. */
export function toMembersJoined(
  channelId: bigint,
  actorId: bigint,
  rows: readonly MemberRow[],
): PatchableEvent {
  const change = { case: 'membersJoined', value: { members: rows.map(toMember) } } as const;
  return toPatchable({ channelId, actorId, change });
}

const levels = columnEnum(NotificationLevel);
const roles: ReadonlyMap<Role, MemberRole> = new Map([
  ['GUEST', MemberRole.GUEST],
  ['MEMBER', MemberRole.MEMBER],
  ['ADMIN', MemberRole.ADMIN],
  ['OWNER', MemberRole.OWNER],
]);

export function toRole(column: Role): MemberRole {
  return roles.get(column) ?? MemberRole.UNSPECIFIED;
}

/** The text of a role for the column; UNSPECIFIED stands for MEMBER. */
export function toRoleColumn(role: MemberRole): Role {
  for (const [column, value] of roles) if (value === role) return column;
  return 'MEMBER';
}

/** The text of a level for the column; undefined for UNSPECIFIED. */
export function toLevelColumn(level: NotificationLevel): string | undefined {
  return levels.toColumn(level);
}
