import type { MessageInitShape } from '@bufbuild/protobuf';
import type { PendingQuery } from 'postgres';
import { EntityActivitySchema } from '#gen/serp/discuss/v1/activity_pb.ts';
import type { ActivityService } from '#gen/serp/discuss/v1/activity_service_pb.ts';
import { fromMetadataJson } from '../db/metadata.ts';
import { toTimestamp } from '../db/time.ts';
import type { Sql } from '../db/types.ts';
import type { Deps } from '../deps.ts';
import { joinReader } from '../membership/sql.ts';
import type { Caller, Handlers } from '../rpc/call.ts';
import { requireTenant } from '../rpc/caller.ts';
import { errors } from '../rpc/errors.ts';
import { fromPageToken, pageOfItems } from '../rpc/page-token.ts';
import { type Entity, topicOf } from './sql.ts';

type EntityHandlers = Pick<Handlers<typeof ActivityService>, 'listEntityActivities'>;

const LAST = 0x7fff_ffff_ffff_ffffn;

/** The timeline of an entity, which only members of its topic channel may read. */
export function entityActivityRoutes({ db }: Deps): EntityHandlers {
  return {
    async listEntityActivities({ entity, pageSize, pageToken }, call) {
      const { caller } = call;
      requireTenant(caller);
      if (entity === undefined) throw errors.fieldInvalid('entity', 'is required');
      const [time, id] = fromPageToken(pageToken, 2) ?? [];
      const after = { time: time ?? LAST, id: id ?? LAST };
      const rows = await db.run(call, (sql) =>
        listEntityActivities(sql, caller, entity, after, pageSize + 1),
      );
      if (rows.length === 0) throw errors.topicNotFound(entity);
      const activities = rows.flatMap((row) => (row.id === null ? [] : [row]));
      const { items, nextPageToken } = pageOfItems(
        activities,
        pageSize,
        EntityActivitySchema,
        toEntityActivity,
        (last) => [last.timestamp, last.id],
      );
      return { activities: items, nextPageToken };
    },
  };
}

type EntityActivityRow = {
  readonly id: bigint;
  readonly timestamp: bigint;
  readonly actionType: string;
  readonly actorId: bigint;
  readonly userId: bigint;
  readonly title: string | null;
  readonly description: string;
  readonly channelId: bigint | null;
  readonly occurrences: number;
  /** As text: the driver renames keys inside jsonb. */
  readonly metadata: string | null;
};

function toEntityActivity(row: EntityActivityRow): MessageInitShape<typeof EntityActivitySchema> {
  return {
    id: row.id,
    activityTime: toTimestamp(row.timestamp),
    type: row.actionType,
    actorId: row.actorId,
    userId: row.userId,
    title: row.title ?? '',
    description: row.description,
    channelId: row.channelId ?? 0n,
    count: row.occurrences,
    metadata: fromMetadataJson(row.metadata),
  };
}

/**
 * Activities about an entity after a place in the order, newest first. No row when the entity has no topic channel that the
 * caller may read, one row without activity when the page is empty.
 */
function listEntityActivities(
  sql: Sql,
  caller: Caller,
  entity: Entity,
  after: { readonly time: bigint; readonly id: bigint },
  limit: number,
): PendingQuery<(EntityActivityRow | { readonly id: null })[]> {
  const { tenantId } = caller;
  return sql<(EntityActivityRow | { readonly id: null })[]>`
    select page.*
    from channels c
    ${joinReader(sql, caller)}
    left join lateral list_entity_activities(
      c.id, ${entity.type}, ${entity.id}, ${after.time}, ${after.id}, ${limit}
    ) as page on true
    where c.id = ${topicOf(sql, tenantId, entity)}
      and c.tenant_id = ${tenantId}
      and c.deleted_at is null
    order by page."timestamp" desc, page.id desc
  `;
}
