import type { MessageShape } from '@bufbuild/protobuf';
import type {
  ChannelService,
  GetOrCreateTopicChannelRequestSchema,
} from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { signalActivities } from '../activity/view.ts';
import { toMetadataJson } from '../db/metadata.ts';
import type { Sql } from '../db/types.ts';
import type { Deps } from '../deps.ts';
import type { Handlers } from '../rpc/call.ts';
import { requireTenant } from '../rpc/caller.ts';
import { errors } from '../rpc/errors.ts';
import { rejectArchived } from './access.ts';
import { insertUnlessThere, join, type Opened, type Parts } from './create.ts';
import { isOf, move, requireMove } from './move.ts';
import { lockChannel } from './sql.ts';
import { type Entity, findTopicChannel, lockEntities, type TopicRow } from './topic-sql.ts';
import { toChannel } from './view.ts';

type TopicHandlers = Pick<Handlers<typeof ChannelService>, 'getOrCreateTopicChannel' | 'moveTopic'>;
type TopicRequest = MessageShape<typeof GetOrCreateTopicChannelRequestSchema>;

const ATTEMPTS = 3;

export function topicHandlers({ config, db, relay }: Deps): TopicHandlers {
  return {
    async getOrCreateTopicChannel(request, call) {
      const { caller } = call;
      const entity = { type: request.entityType, id: request.entityId };
      requireTenant(caller);
      const [found] = await db.run(call, (sql) =>
        findTopicChannel(sql, caller.tenantId, entity, request.memberUserIds),
      );
      const { channel, created, events, activities } =
        found?.missing.length === 0
          ? { channel: found, created: false, events: [], activities: null }
          : await db.transaction(call, (sql) => openTopic({ sql, caller, config }, entity, request));
      relay.publish(events);
      signalActivities(relay, activities);
      return { channel: toChannel(channel), created, redirected: !isOf(channel, entity) };
    },

    async moveTopic(request, call) {
      const { caller } = call;
      requireTenant(caller);
      requireMove(request);
      const { channel, mergedId, events } = await db.transaction(call, (sql) =>
        move({ sql, caller, config }, request),
      );
      relay.publish(events);
      return { channel: toChannel(channel), mergedChannelId: mergedId ?? 0n };
    },
  };
}

/** Makes the channel of an entity, unless it leads to one, and the users its members. */
async function openTopic(parts: Parts, entity: Entity, request: TopicRequest): Promise<Opened> {
  const { sql, caller } = parts;
  const { tenantId, userId } = caller;
  await lockEntities(sql, tenantId, [entity]);
  const found = await lockTopic(sql, tenantId, entity, request.memberUserIds);
  if (found !== undefined) {
    if (found.missing.length > 0) rejectArchived(found);
    return join(parts, found.id, false, [{ userIds: found.missing, role: 'MEMBER' }]);
  }
  const id = await insertUnlessThere(sql, tenantId, {
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
  const owners = userId === 0n ? [] : [userId];
  const others = request.memberUserIds.filter((memberId) => memberId !== userId);
  return join(parts, id, true, [
    { userIds: owners, role: 'OWNER' },
    { userIds: others, role: 'MEMBER' },
  ]);
}

// As it is after the lock; a service may have every topic of its tenant, also for a user who is no member. While it
// was waited for, the channel may have been deleted, or merged by way of another of its entities.
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
