import type { MessageShape } from '@bufbuild/protobuf';
import type { PendingQuery } from 'postgres';
import type {
  ChannelService,
  GetOrCreateTopicChannelRequestSchema,
} from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { signalActivities } from '../activity/view.ts';
import type { Lock } from '../db/database.ts';
import { toMetadataJson } from '../db/metadata.ts';
import type { Sql } from '../db/types.ts';
import type { Deps } from '../deps.ts';
import type { Handlers } from '../rpc/call.ts';
import { requireTenant } from '../rpc/caller.ts';
import { errors } from '../rpc/errors.ts';
import { rejectArchived } from './access.ts';
import { addMembers, type ChannelResult, type CreateParts, insertIfAbsent } from './create.ts';
import { type ChannelRow, channelColumns, type Entity, lockChannel, topicOf } from './sql.ts';
import { toChannel, toEntity } from './view.ts';

type TopicHandlers = Pick<Handlers<typeof ChannelService>, 'getOrCreateTopicChannel'>;
type TopicRequest = MessageShape<typeof GetOrCreateTopicChannelRequestSchema>;

const ATTEMPTS = 3;

export function topicHandlers({ config, db, directory, encryption, relay }: Deps): TopicHandlers {
  return {
    async getOrCreateTopicChannel(request, call) {
      const { caller } = call;
      const entity = toEntity(request.entity);
      requireTenant(caller);
      const [found] = await db.run(call, (sql) =>
        findTopicChannel(sql, caller.tenantId, entity, request.memberUserIds),
      );
      if (found?.missing.length === 0)
        return { channel: toChannel(found), created: false, redirected: !isEntityOf(found, entity) };
      const owners = caller.userId === 0n ? [] : [caller.userId];
      const users = await directory.lookUp(call, [...owners, ...request.memberUserIds]);
      const { channel, created, events, activities } = await db.lockingTransaction(
        call,
        lockOf(entity),
        (sql) => getOrCreateTopic({ sql, caller, config, users, encryption }, entity, request),
      );
      relay.publish(call.caller.tenantId, events);
      signalActivities(relay, activities);
      return { channel: toChannel(channel), created, redirected: !isEntityOf(channel, entity) };
    },
  };
}

/** The lock of an entity, for `Database.lockingTransaction`. */
export function lockOf({ type, id }: Entity): Lock {
  return `topic:${type}:${id}`;
}

/** Creates the channel of an entity if it has none, and adds the users as members. */
async function getOrCreateTopic(
  parts: CreateParts,
  entity: Entity,
  request: TopicRequest,
): Promise<ChannelResult> {
  const { sql, caller } = parts;
  const { tenantId, userId } = caller;
  await lockEntities(sql, tenantId, [entity]);
  const found = await lockTopic(sql, tenantId, entity, request.memberUserIds);
  if (found !== undefined) {
    if (found.missing.length > 0) rejectArchived(found);
    return addMembers(parts, found.id, false, [{ userIds: found.missing, role: 'MEMBER' }]);
  }
  const id = await insertIfAbsent(sql, tenantId, {
    type: 'TOPIC',
    createdBy: userId,
    name: request.name,
    description: request.description,
    entityType: entity.type,
    entityId: entity.id,
    isPrivate: true,
    metadata: toMetadataJson('metadata', request.metadata),
  });
  if (id === undefined) throw errors.conflict();
  if (request.encrypted) await parts.encryption.enable(sql, tenantId, id);
  const owners = userId === 0n ? [] : [userId];
  const others = request.memberUserIds.filter((memberId) => memberId !== userId);
  return addMembers(parts, id, true, [
    { userIds: owners, role: 'OWNER' },
    { userIds: others, role: 'MEMBER' },
  ]);
}

// Resolved again under the lock: while waiting, the channel may have been deleted, or merged through another of its
// entities. A service may use every topic of its tenant, also for a user who is not a member.
async function lockTopic(
  sql: Sql,
  tenantId: bigint,
  entity: Entity,
  userIds: readonly bigint[],
): Promise<TopicRow | undefined> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    const [found] = await findTopicChannel(sql, tenantId, entity, []);
    if (found === undefined) return undefined;
    const [, [locked]] = await Promise.all([
      lockChannel(sql, tenantId, found.id),
      findTopicChannel(sql, tenantId, entity, userIds),
    ]);
    if (locked?.id === found.id) return locked;
  }
  throw errors.conflict();
}

/**
 * Blocks other changes of the channels of these entities until the end of the transaction. To be locked before any
 * channel's row. The entities are locked in a fixed order, which prevents deadlocks.
 */
export function lockEntities(sql: Sql, tenantId: bigint, entities: readonly Entity[]): PendingQuery<never[]> {
  const names = entities.map(({ type, id }) => `${type}:${id}`).join(' ');
  return sql<never[]>`
    select pg_advisory_xact_lock(hashtext('discuss.topics'), k.key)
    from (
      select distinct hashtextextended(e.name, ${tenantId})::bit(32)::int as key
      from unnest(string_to_array(${names}, ' ')) as e(name)
      order by 1
    ) as k
  `;
}

export type TopicRow = ChannelRow & {
  /** The requested users who are not members. */
  readonly missing: bigint[];
};

/** The channel of an entity, for a service. */
export function findTopicChannel(
  sql: Sql,
  tenantId: bigint,
  entity: Entity,
  userIds: readonly bigint[],
): PendingQuery<TopicRow[]> {
  return sql<TopicRow[]>`
    select
      ${channelColumns(sql)},
      array(
        select u.user_id
        from unnest(${sql.array([...userIds], 1016)}) as u(user_id)
        where not exists (
          select 1
          from channel_members m
          where m.channel_id = c.id
            and m.tenant_id = ${tenantId}
            and m.user_id = u.user_id
            and is_member_status(m.status)
        )
        order by u.user_id
      ) as missing
    from channels c
    where c.id = ${topicOf(sql, tenantId, entity)}
      and c.tenant_id = ${tenantId}
      and c.deleted_at is null
  `;
}

/** Whether a channel currently belongs to an entity, rather than being reached by an alias. */
export function isEntityOf(channel: ChannelRow, { type, id }: Entity): boolean {
  return channel.entityType === type && channel.entityId === id;
}

/** The entity of a topic channel. */
export function entityOf({ entityType, entityId }: ChannelRow): Entity {
  return { type: entityType ?? '', id: entityId ?? 0n };
}

/** Redirects an entity to a channel. The entity must be locked. */
export function upsertAlias(
  sql: Sql,
  tenantId: bigint,
  { type, id }: Entity,
  channelId: bigint,
): PendingQuery<never[]> {
  return sql<never[]>`
    insert into channel_entity_aliases (tenant_id, entity_type, entity_id, channel_id, created_at)
    values (${tenantId}, ${type}, ${id}, ${channelId}, now_ms())
    on conflict (tenant_id, entity_type, entity_id) do update
    set channel_id = excluded.channel_id,
        created_at = excluded.created_at
  `;
}
