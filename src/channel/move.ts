import type { MessageShape } from '@bufbuild/protobuf';
import { MoveTopicRequestSchema } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { SystemNoticeKind as Kind } from '#gen/serp/discuss/v1/message_pb.ts';
import { hashRequest } from '../db/request-hash.ts';
import { appendEvent, type LoggedEvent } from '../event/log/sql.ts';
import { insertMembers, type MemberRow } from '../membership/sql.ts';
import { toMembersJoined } from '../membership/view.ts';
import { postNotices } from '../notice/sql.ts';
import { errors } from '../rpc/errors.ts';
import { rejectArchived, rejectOverfull } from './access.ts';
import type { Parts } from './create.ts';
import { type ChannelRow, findChannel, findClaim } from './sql.ts';
import {
  claimMove,
  deleteAlias,
  type Entity,
  findTopicChannel,
  listNewcomers,
  lockChannels,
  lockEntities,
  updateAliases,
  updateEntity,
  updateMerged,
  upsertAlias,
} from './topic-sql.ts';
import { toChannelChanged } from './view.ts';

type MoveRequest = MessageShape<typeof MoveTopicRequestSchema>;

/** Where a discussion is now, and what became of it in the logs; no events when nothing changed. */
export type Moved = {
  readonly channel: ChannelRow;
  /** The channel that was merged into it, if one was. */
  readonly mergedId: bigint | null;
  readonly events: readonly LoggedEvent[];
};

type Ends = { readonly source: ChannelRow | undefined; readonly target: ChannelRow | undefined };

const ATTEMPTS = 3;
const JOINED_AT_ONCE = 1_000;

/** Checks what the proto cannot. */
export function requireMove(request: MoveRequest): void {
  const { fromEntityType, fromEntityId, toEntityType, toEntityId } = request;
  if (fromEntityType === toEntityType && fromEntityId === toEntityId)
    throw errors.fieldInvalid('to_entity_id', 'is the entity to move from');
}

/** Whether a channel is that of an entity now. */
export function isOf(channel: ChannelRow, { type, id }: Entity): boolean {
  return channel.entityType === type && channel.entityId === id;
}

/** Moves a discussion to another entity, or finds where an earlier call with the same request id moved it. */
export async function move(parts: Parts, request: MoveRequest): Promise<Moved> {
  const { sql, caller } = parts;
  const from: Entity = { type: request.fromEntityType, id: request.fromEntityId };
  const to: Entity = { type: request.toEntityType, id: request.toEntityId };
  await lockEntities(sql, caller.tenantId, [from, to]);
  const repeated = await findMoved(parts, request);
  if (repeated !== undefined) return repeated;
  const { source, target } = await lockEnds(parts, from, to);
  const end = target ?? source;
  if (end === undefined) throw errors.channelNotFound();
  const mergedId = source !== undefined && source.id !== end.id ? source.id : null;
  await claim(parts, request, end.id, mergedId);
  if (source === undefined) {
    await upsertAlias(sql, caller.tenantId, from, end.id);
    return { channel: end, mergedId, events: [] };
  }
  if (mergedId !== null) return merge(parts, source, end);
  // Both lead to one channel: it is there, has been there and moved on, or moves back.
  const isThere = target !== undefined && !isOf(source, from);
  return isThere ? { channel: end, mergedId, events: [] } : relocate(parts, source, to);
}

async function findMoved({ sql, caller }: Parts, request: MoveRequest): Promise<Moved | undefined> {
  const { tenantId, userId } = caller;
  if (request.requestId === '') return undefined;
  const [claim] = await findClaim(sql, tenantId, userId, request.requestId);
  if (claim === undefined) return undefined;
  const hash = hashRequest(MoveTopicRequestSchema, request);
  if (claim.method !== 'MoveTopic' || !claim.payloadHash.equals(hash)) throw errors.requestIdReused();
  const [channel] = await findChannel(sql, tenantId, userId, claim.channelId);
  if (channel === undefined) throw errors.channelNotFound();
  return { channel, mergedId: claim.resourceId, events: [] };
}

// The entities are locked: two calls with one id meet here only when they ask for different moves.
async function claim(
  { sql, caller }: Parts,
  request: MoveRequest,
  channelId: bigint,
  mergedId: bigint | null,
): Promise<void> {
  const { requestId } = request;
  if (requestId === '') return;
  const hash = hashRequest(MoveTopicRequestSchema, request);
  const taken = await claimMove(sql, caller.tenantId, caller.userId, {
    requestId,
    hash,
    channelId,
    mergedId,
  });
  if (taken.count === 0) throw errors.requestIdReused();
}

// As they are after the lock. While it was waited for, a channel may have been deleted, or merged by way of another
// of its entities.
async function lockEnds({ sql, caller }: Parts, from: Entity, to: Entity): Promise<Ends> {
  const { tenantId } = caller;
  const find = (entity: Entity) => findTopicChannel(sql, tenantId, entity, []);
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    const [[source], [target]] = await Promise.all([find(from), find(to)]);
    const ids = [source, target].flatMap((row) => (row === undefined ? [] : [row.id]));
    const [, [lockedSource], [lockedTarget]] = await Promise.all([
      lockChannels(sql, tenantId, ids),
      find(from),
      find(to),
    ]);
    if (lockedSource?.id === source?.id && lockedTarget?.id === target?.id)
      return { source: lockedSource, target: lockedTarget };
  }
  throw errors.conflict();
}

async function relocate(parts: Parts, source: ChannelRow, to: Entity): Promise<Moved> {
  const { sql, caller } = parts;
  const { tenantId, userId } = caller;
  const old = entityOf(source);
  const [[channel]] = await Promise.all([
    updateEntity(sql, tenantId, source.id, to),
    deleteAlias(sql, tenantId, to),
    upsertAlias(sql, tenantId, old, source.id),
  ]);
  if (channel === undefined) throw errors.conflict();
  const events = await Promise.all([
    appendEvent(sql, channel.id, 'CHANNEL_CHANGED', userId, toChannelChanged(channel, userId, false)),
    ...postNotices(parts, channel.id, { kind: Kind.TOPIC_MOVED, fromEntity: old, toEntity: to }),
  ]);
  return { channel, mergedId: null, events: events.flat() };
}

async function merge(parts: Parts, source: ChannelRow, target: ChannelRow): Promise<Moved> {
  const { sql, caller, config } = parts;
  const { tenantId, userId } = caller;
  rejectArchived(target);
  const newcomers = await listNewcomers(sql, tenantId, source.id, target.id);
  rejectOverfull(config, target.memberCount + newcomers.length);
  const groups = [...Map.groupBy(newcomers, ({ role }) => (role === 'GUEST' ? 'GUEST' : 'MEMBER'))];
  const [[merged], , , ...joined] = await Promise.all([
    updateMerged(sql, tenantId, source.id, target.id),
    updateAliases(sql, tenantId, source.id, target.id),
    upsertAlias(sql, tenantId, entityOf(source), target.id),
    ...groups.map(([role, rows]) => {
      const userIds = rows.map((row) => row.userId);
      return insertMembers(sql, tenantId, target.id, userIds, role);
    }),
  ]);
  const [channel] = await findChannel(sql, tenantId, userId, target.id);
  if (channel === undefined || merged === undefined) throw errors.conflict();
  const ends = { fromEntity: entityOf(source), toEntity: entityOf(target) };
  const events = await Promise.all([
    ...inPortions(joined.flat()).map((members) =>
      appendEvent(sql, target.id, 'MEMBERS_JOINED', userId, toMembersJoined(target.id, userId, members)),
    ),
    ...postNotices(parts, target.id, { kind: Kind.TOPIC_MERGED, ...ends, otherChannelId: source.id }),
    appendEvent(sql, source.id, 'CHANNEL_CHANGED', userId, toChannelChanged(merged, userId, false)),
    ...postNotices(parts, source.id, { kind: Kind.TOPIC_MERGED_INTO, ...ends, otherChannelId: target.id }),
  ]);
  return { channel, mergedId: source.id, events: events.flat() };
}

function entityOf({ entityType, entityId }: ChannelRow): Entity {
  return { type: entityType ?? '', id: entityId ?? 0n };
}

// An event has a size that streams can bear.
function inPortions(members: readonly MemberRow[]): MemberRow[][] {
  const portions = Math.ceil(members.length / JOINED_AT_ONCE);
  return Array.from({ length: portions }, (_, index) =>
    members.slice(index * JOINED_AT_ONCE, (index + 1) * JOINED_AT_ONCE),
  );
}
