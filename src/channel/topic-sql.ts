import type { PendingQuery } from 'postgres';
import type { Sql } from '../db/types.ts';
import type { Role } from '../membership/sql.ts';
import { type ChannelRow, channelColumns } from './sql.ts';

/** A business entity, as a topic channel refers to it. */
export type Entity = { readonly type: string; readonly id: bigint };

/** Id of the channel an entity leads to: its own, or where its discussion went; null where it has none. */
export function topicOf(sql: Sql, tenantId: bigint, { type, id }: Entity) {
  return sql`
    coalesce(
      (
        select t.id
        from channels t
        where t.tenant_id = ${tenantId}
          and t.type = 'TOPIC'
          and t.entity_type = ${type}
          and t.entity_id = ${id}
          and t.deleted_at is null
          and t.merged_into is null
      ),
      (
        select a.channel_id
        from channel_entity_aliases a
        join channels t on t.id = a.channel_id
        where a.tenant_id = ${tenantId}
          and a.entity_type = ${type}
          and a.entity_id = ${id}
          and t.tenant_id = ${tenantId}
          and t.deleted_at is null
      )
    )
  `;
}

/**
 * Keeps others from giving these entities a channel, or another one, until the end of the transaction. To be taken
 * before any channel's row; the entities in one order, so that two calls do not wait for each other.
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
  /** Those of the users asked for who are not members. */
  readonly missing: bigint[];
};

/** The channel an entity leads to, for a service. */
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

/** Locks two channels as changes of one do, in the order of their ids. */
export function lockChannels(
  sql: Sql,
  tenantId: bigint,
  channelIds: readonly bigint[],
): PendingQuery<never[]> {
  return sql<never[]>`
    select c.id
    from channels c
    where c.id = any(${sql.array([...channelIds], 1016)})
      and c.tenant_id = ${tenantId}
    order by c.id
    for no key update
  `;
}

/** Makes a channel that of another entity. The row and both entities must be locked. */
export function updateEntity(
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

/** Puts a channel away for good, in favour of another. Both rows must be locked. */
export function updateMerged(
  sql: Sql,
  tenantId: bigint,
  channelId: bigint,
  intoId: bigint,
): PendingQuery<ChannelRow[]> {
  return sql<ChannelRow[]>`
    update channels c
    set is_archived = true,
        merged_into = ${intoId},
        updated_at = greatest(c.updated_at, now_ms())
    where c.id = ${channelId}
      and c.tenant_id = ${tenantId}
      and c.deleted_at is null
    returning ${channelColumns(sql)}
  `;
}

/** Lets an entity lead to a channel from now on. The entity must be locked. */
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

/** Forgets where an entity led, as it is about to have a channel of its own. */
export function deleteAlias(sql: Sql, tenantId: bigint, { type, id }: Entity): PendingQuery<never[]> {
  return sql<never[]>`
    delete from channel_entity_aliases a
    where a.tenant_id = ${tenantId}
      and a.entity_type = ${type}
      and a.entity_id = ${id}
  `;
}

/** Lets all that led to a channel lead to another. */
export function updateAliases(
  sql: Sql,
  tenantId: bigint,
  channelId: bigint,
  intoId: bigint,
): PendingQuery<never[]> {
  return sql<never[]>`
    update channel_entity_aliases a
    set channel_id = ${intoId}
    where a.tenant_id = ${tenantId}
      and a.channel_id = ${channelId}
  `;
}

export type NewcomerRow = { readonly userId: bigint; readonly role: Role };

/** Members of a channel who never were in another one. */
export function listNewcomers(
  sql: Sql,
  tenantId: bigint,
  channelId: bigint,
  otherId: bigint,
): PendingQuery<NewcomerRow[]> {
  return sql<NewcomerRow[]>`
    select m.user_id, m.role
    from channel_members m
    where m.tenant_id = ${tenantId}
      and m.channel_id = ${channelId}
      and is_member_status(m.status)
      and not exists (
        select 1
        from channel_members x
        where x.tenant_id = ${tenantId}
          and x.channel_id = ${otherId}
          and x.user_id = m.user_id
      )
    order by m.user_id
  `;
}

/**
 * Takes a request id for a move, with the channel it leads to and the one that was merged into it. `count` is 0
 * when the id is taken, after waiting for a transaction that is taking it.
 */
export function claimMove(
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
