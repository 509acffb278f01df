import type { MessageShape } from '@bufbuild/protobuf';
import type { PendingQuery } from 'postgres';
import type { ChannelService, MoveTopicRequestSchema } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { SystemNoticeKind as Kind } from '#gen/serp/discuss/v1/message_pb.ts';
import { hashRequest } from '../db/request-hash.ts';
import type { Sql } from '../db/types.ts';
import type { Deps } from '../deps.ts';
import type { Lookup } from '../directory/directory.ts';
import { appendEvent } from '../event/log/sql.ts';
import { postNotices } from '../notice/sql.ts';
import type { Call, Handlers } from '../rpc/call.ts';
import { requireTenant } from '../rpc/caller.ts';
import { errors } from '../rpc/errors.ts';
import type { TransactionParts } from './create.ts';
import { listNewcomers, type MoveResult, mergeTopics } from './merge.ts';
import { type ChannelRow, channelColumns, type Entity, findChannel, findClaim } from './sql.ts';
import { entityOf, findTopicChannel, isEntityOf, lockEntities, lockOf, upsertAlias } from './topic.ts';
import { toChannel, toChannelChanged, toEntity } from './view.ts';

type MoveRequest = MessageShape<typeof MoveTopicRequestSchema>;

type Ends = { readonly source: ChannelRow | undefined; readonly target: ChannelRow | undefined };

const ATTEMPTS = 3;

type MoveHandlers = Pick<Handlers<typeof ChannelService>, 'moveTopic'>;

export function moveHandlers(deps: Deps): MoveHandlers {
  const { config, db, relay } = deps;
  return {
    async moveTopic(request, call) {
      const { caller } = call;
      requireTenant(caller);
      requireMove(request);
      const users = await lookUpNewcomers(deps, call, request);
      const lock = lockOf(toEntity(request.fromEntity));
      const { channel, mergedId, events } = await db.lockingTransaction(call, lock, (sql) =>
        move({ sql, caller, config }, request, users),
      );
      relay.publish(call.caller.tenantId, events);
      return { channel: toChannel(channel), mergedChannelId: mergedId ?? 0n };
    },
  };
}

/** Checks that the proto cannot express. */
function requireMove(request: MoveRequest): void {
  const [from, to] = [toEntity(request.fromEntity), toEntity(request.toEntity)];
  if (from.type === to.type && from.id === to.id)
    throw errors.fieldInvalid('to_entity', 'is the same entity as from_entity');
}

/** Looks up the users that a merge would add. They are read again in the transaction. */
async function lookUpNewcomers({ db, directory }: Deps, call: Call, request: MoveRequest): Promise<Lookup> {
  if (!directory.isUsed) return directory.lookUp(call, []);
  const { tenantId } = call.caller;
  const userIds = await db.transaction(call, async (sql) => {
    const find = (entity: Entity) => findTopicChannel(sql, tenantId, entity, []);
    const [[source], [target]] = await Promise.all([
      find(toEntity(request.fromEntity)),
      find(toEntity(request.toEntity)),
    ]);
    if (source === undefined || target === undefined || source.id === target.id) return [];
    return listNewcomers(sql, tenantId, source.id, target.id);
  });
  return directory.lookUp(
    call,
    userIds.map((row) => row.userId),
  );
}

/** Moves a discussion to another entity, or returns the result of an earlier call with the same request id. */
async function move(parts: TransactionParts, request: MoveRequest, users: Lookup): Promise<MoveResult> {
  const { sql, caller } = parts;
  const [from, to] = [toEntity(request.fromEntity), toEntity(request.toEntity)];
  await lockEntities(sql, caller.tenantId, [from, to]);
  const repeated = await findEarlierMove(parts, request);
  if (repeated !== undefined) return repeated;
  const { source, target } = await lockEnds(parts, from, to);
  const end = target ?? source;
  if (end === undefined) throw errors.topicNotFound(from);
  const mergedId = source !== undefined && source.id !== end.id ? source.id : null;
  await claim(parts, request, end.id, mergedId);
  if (source === undefined) {
    await upsertAlias(sql, caller.tenantId, from, end.id);
    return { channel: end, mergedId, events: [] };
  }
  if (mergedId !== null) return mergeTopics(parts, source, end, users);
  // Both entities resolve to one channel: it was already moved to the target, or it moves back.
  const isAtTarget = target !== undefined && !isEntityOf(source, from);
  return isAtTarget ? { channel: end, mergedId, events: [] } : relocate(parts, source, to);
}

async function findEarlierMove(
  { sql, caller }: TransactionParts,
  request: MoveRequest,
): Promise<MoveResult | undefined> {
  const { tenantId, userId } = caller;
  const [claim] = await findClaim(sql, tenantId, userId, request.requestId);
  if (claim === undefined) return undefined;
  const hash = hashRequest(request);
  if (claim.method !== 'MoveTopic' || !claim.payloadHash.equals(hash)) throw errors.requestIdReused();
  const [channel] = await findChannel(sql, tenantId, userId, claim.channelId);
  if (channel === undefined) throw errors.channelNotFound();
  return { channel, mergedId: claim.resourceId, events: [] };
}

// The entities are locked, so two concurrent calls with one id get here only for different moves.
async function claim(
  { sql, caller }: TransactionParts,
  request: MoveRequest,
  channelId: bigint,
  mergedId: bigint | null,
): Promise<void> {
  const taken = await claimMove(sql, caller.tenantId, caller.userId, {
    requestId: request.requestId,
    hash: hashRequest(request),
    channelId,
    mergedId,
  });
  if (taken.count === 0) throw errors.requestIdReused();
}

// Resolved again under the lock: while waiting, a channel may have been deleted, or merged through another of its
// entities.
async function lockEnds({ sql, caller }: TransactionParts, from: Entity, to: Entity): Promise<Ends> {
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

async function relocate(parts: TransactionParts, source: ChannelRow, to: Entity): Promise<MoveResult> {
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

/** Locks channels in the order of their ids. */
function lockChannels(sql: Sql, tenantId: bigint, channelIds: readonly bigint[]): PendingQuery<never[]> {
  return sql<never[]>`
    select c.id
    from channels c
    where c.id = any(${sql.array([...channelIds], 1016)})
      and c.tenant_id = ${tenantId}
    order by c.id
    for no key update
  `;
}

/** Assigns a channel to another entity. The row and both entities must be locked. */
function updateEntity(
  sql: Sql,
  tenantId: bigint,
  channelId: bigint,
  { type, id }: Entity,
): PendingQuery<ChannelRow[]> {
  return sql<ChannelRow[]>`
    update channels c
    set entity_type = ${type},
        entity_id = ${id},
        updated_at = greatest(c.updated_at, now_ms())
    where c.id = ${channelId}
      and c.tenant_id = ${tenantId}
      and c.deleted_at is null
    returning ${channelColumns(sql)}
  `;
}

/** Deletes the alias of an entity that gets its own channel. */
function deleteAlias(sql: Sql, tenantId: bigint, { type, id }: Entity): PendingQuery<never[]> {
  return sql<never[]>`
    delete from channel_entity_aliases a
    where a.tenant_id = ${tenantId}
      and a.entity_type = ${type}
      and a.entity_id = ${id}
  `;
}

/**
 * Claims a request id for a move and stores its result. `count` is 0 when the id is already used. Waits for a
 * concurrent claim of the same id.
 */
function claimMove(
  sql: Sql,
  tenantId: bigint,
  userId: bigint,
  claim: {
    readonly requestId: string;
    readonly hash: Buffer;
    readonly channelId: bigint;
    readonly mergedId: bigint | null;
  },
): PendingQuery<never[]> {
  return sql<never[]>`
    insert into idempotency_keys
      (tenant_id, user_id, request_id, method, payload_hash, channel_id, resource_id, created_at)
    values (
      ${tenantId}, ${userId}, ${claim.requestId}::text::uuid, 'MoveTopic', ${claim.hash},
      ${claim.channelId}, ${claim.mergedId}, now_ms()
    )
    on conflict do nothing
  `;
}
