import type { MessageInitShape } from '@bufbuild/protobuf';
import { type ChannelSchema, ChannelType, type EntityRef } from '#gen/serp/discuss/v1/channel_pb.ts';
import type { MembershipSchema } from '#gen/serp/discuss/v1/member_pb.ts';
import { columnEnum } from '../db/column-enum.ts';
import { fromMetadataJson } from '../db/metadata.ts';
import { toTimestamp } from '../db/time.ts';
import { type PatchableEvent, toPatchable } from '../event/log/wire.ts';
import { toMembership } from '../membership/view.ts';
import { etagOf } from '../rpc/etag.ts';
import type { AccessRow, ChannelRow, Entity } from './sql.ts';

/** The entity of a request, where validation requires one. */
export function toEntity(ref: EntityRef | undefined): Entity {
  return { type: ref?.type ?? '', id: ref?.id ?? 0n };
}

/** A channel as the API returns it. It does not depend on the reader. */
export function toChannel(row: ChannelRow): MessageInitShape<typeof ChannelSchema> {
  return {
    id: row.id,
    type: types.toValue(row.type) ?? ChannelType.UNSPECIFIED,
    name: row.name,
    description: row.description ?? '',
    entity:
      row.type === 'TOPIC' && row.entityType !== null && row.entityId !== null
        ? { type: row.entityType, id: row.entityId }
        : undefined,
    directUserIds: toDirectUserIds(row),
    private: row.isPrivate,
    archived: row.isArchived,
    memberCount: row.memberCount,
    messageCount: row.messageCount,
    lastMessageTime: toTimestamp(row.lastMessageAt),
    metadata: fromMetadataJson(row.channelMetadata),
    creatorId: row.createdBy,
    createTime: toTimestamp(row.createdAt),
    updateTime: toTimestamp(row.updatedAt),
    mergedIntoChannelId: row.mergedInto ?? 0n,
    etag: channelEtag(row),
    encryptionTime: toTimestamp(row.encryptedAt),
  };
}

/** The caller's membership; undefined for callers who are not members. */
export function toOwnMembership(row: AccessRow): MessageInitShape<typeof MembershipSchema> | undefined {
  return row.role === null ? undefined : toMembership(row.id, row);
}

/** The event that a channel was created or changed. */
export function toChannelChanged(row: ChannelRow, actorId: bigint, created: boolean): PatchableEvent {
  const change = { case: 'channelChanged', value: { channel: toChannel(row), created } } as const;
  return toPatchable({ channelId: row.id, actorId, change });
}

/** The event that a channel was deleted. */
export function toChannelDeleted(channelId: bigint, actorId: bigint): PatchableEvent {
  return toPatchable({ channelId, actorId, change: { case: 'channelDeleted', value: {} } });
}

/** Version of what UpdateChannel, ArchiveChannel and MoveTopic change. */
export function channelEtag(row: ChannelRow): string {
  return etagOf(
    row.name,
    row.description ?? '',
    row.isPrivate,
    row.isArchived,
    row.channelMetadata,
    row.entityType,
    row.entityId,
  );
}

const types = columnEnum(ChannelType);

/** The texts of channel types for the column. */
export function toTypeColumns(wanted: readonly ChannelType[]): string[] {
  return wanted.flatMap((type) => types.toColumn(type) ?? []);
}

// One user of the pair is the creator; the other is in the column of a topic's entity id.
function toDirectUserIds({ type, createdBy, entityId }: ChannelRow): bigint[] {
  if (type !== 'DIRECT' || entityId === null) return [];
  if (createdBy === entityId) return [createdBy];
  return createdBy < entityId ? [createdBy, entityId] : [entityId, createdBy];
}
