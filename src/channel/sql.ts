import type { PendingQuery } from 'postgres';
import type { Sql } from '../db/types.ts';
import { type MembershipRow, membershipColumns } from '../membership/sql.ts';

export type ChannelType = 'DIRECT' | 'GROUP' | 'TOPIC';

export type ChannelRow = {
  readonly id: bigint;
  readonly type: ChannelType;
  readonly name: string;
  readonly description: string | null;
  readonly entityType: string | null;
  readonly entityId: bigint | null;
  readonly isPrivate: boolean;
  readonly isArchived: boolean;
  readonly memberCount: number;
  readonly messageCount: number;
  readonly lastMessageAt: bigint | null;
  /** As text: the driver renames keys inside jsonb. */
  readonly channelMetadata: string | null;
  readonly createdBy: bigint;
  readonly createdAt: bigint;
  readonly updatedAt: bigint;
  /** The channel that this one was merged into. */
  readonly mergedInto: bigint | null;
  /** When its encryption was switched on; null if it was not. */
  readonly encryptedAt: bigint | null;
  readonly headSeq: bigint;
};

/** A channel with the caller's membership. `role` is null when the caller is not a member. */
export type AccessRow = ChannelRow & (MembershipRow | { readonly role: null });

/** Columns of ChannelRow from `channels c`. */
export function channelColumns(sql: Sql) {
  return sql`
    c.id, c.type, c.name, c.description, c.entity_type, c.entity_id, c.is_private, c.is_archived,
    c.member_count, c.message_count, c.last_message_at, c.metadata::text as channel_metadata,
    c.created_by, c.created_at, c.updated_at, c.merged_into, c.encrypted_at,
    c.event_seq as head_seq
  `;
}

/** A channel of the tenant. `requireVisible` decides whether the user sees it. */
export function findChannel(
  sql: Sql,
  tenantId: bigint,
  userId: bigint,
  channelId: bigint,
): PendingQuery<AccessRow[]> {
  return sql<AccessRow[]>`
    select ${channelColumns(sql)}, ${membershipColumns(sql)}
    from channels c
    left join channel_members m
      on m.channel_id = c.id
      and m.tenant_id = c.tenant_id
      and m.user_id = ${userId}
      and is_member_status(m.status)
    where c.id = ${channelId}
      and c.tenant_id = ${tenantId}
      and c.deleted_at is null
  `;
}

/** Blocks other changes of the channel and its members, and new messages, until the end of the transaction. */
export function lockChannel(sql: Sql, tenantId: bigint, channelId: bigint): PendingQuery<{ id: bigint }[]> {
  return sql<{ id: bigint }[]>`
    select c.id
    from channels c
    where c.id = ${channelId}
      and c.tenant_id = ${tenantId}
      and c.deleted_at is null
    for no key update
  `;
}

/** Locks a public group of the caller's tenant for a caller who may not be a member. */
export function lockPublicGroup(sql: Sql, channelId: bigint): PendingQuery<{ locked: boolean }[]> {
  return sql<{ locked: boolean }[]>`select lock_public_group(${channelId}) as locked`;
}

/** The direct channel of the caller and another user. */
export function findDirectChannel(
  sql: Sql,
  tenantId: bigint,
  userId: bigint,
  otherId: bigint,
): PendingQuery<(ChannelRow & MembershipRow)[]> {
  return sql<(ChannelRow & MembershipRow)[]>`
    select ${channelColumns(sql)}, ${membershipColumns(sql)}
    from channels c
    join channel_members m on m.channel_id = c.id
    where c.tenant_id = ${tenantId}
      and c.type = 'DIRECT'
      and least(c.created_by, c.entity_id) = least(${userId}::bigint, ${otherId}::bigint)
      and greatest(c.created_by, c.entity_id) = greatest(${userId}::bigint, ${otherId}::bigint)
      and c.deleted_at is null
      and m.tenant_id = ${tenantId}
      and m.user_id = ${userId}
      and is_member_status(m.status)
  `;
}

export type ClaimRow = {
  readonly channelId: bigint;
  readonly resourceId: bigint | null;
  readonly method: string;
  readonly payloadHash: Buffer;
};

/**
 * Claims a request id for a new channel and returns the channel's id; no row when the request id is already used.
 * Waits for a concurrent claim of the same request id.
 */
export function claimRequestId(
  sql: Sql,
  tenantId: bigint,
  userId: bigint,
  requestId: string,
  payloadHash: Buffer,
): PendingQuery<{ id: bigint }[]> {
  return sql<{ id: bigint }[]>`
    insert into idempotency_keys
      (tenant_id, user_id, request_id, method, payload_hash, channel_id, resource_id, created_at)
    select ${tenantId}, ${userId}, ${requestId}::text::uuid, 'CreateChannel', ${payloadHash}, n.id, n.id, now_ms()
    from (select nextval('channels_id_seq') as id) as n
    on conflict do nothing
    returning resource_id as id
  `;
}

/** The call that a request id was used for. */
export function findClaim(
  sql: Sql,
  tenantId: bigint,
  userId: bigint,
  requestId: string,
): PendingQuery<ClaimRow[]> {
  return sql<ClaimRow[]>`
    select k.channel_id, k.resource_id, k.method, k.payload_hash
    from idempotency_keys k
    where k.tenant_id = ${tenantId}
      and k.user_id = ${userId}
      and k.request_id = ${requestId}::text::uuid
  `;
}

export function nextChannelId(sql: Sql): PendingQuery<{ id: bigint }[]> {
  return sql<{ id: bigint }[]>`select nextval('channels_id_seq') as id`;
}

export type NewChannel = {
  readonly id: bigint;
  readonly type: ChannelType;
  readonly createdBy: bigint;
  readonly name: string;
  readonly description: string | null;
  readonly entityType: string | null;
  readonly entityId: bigint | null;
  readonly isPrivate: boolean;
  readonly metadata: string | null;
};

/**
 * Inserts a channel. `count` is 0 when the pair or the entity already has one. Waits for a concurrent insert. Returns
 * no row, as row-level security hides a channel without members.
 */
export function insertChannel(sql: Sql, tenantId: bigint, channel: NewChannel): PendingQuery<never[]> {
  return sql<never[]>`
    insert into channels
      (id, tenant_id, type, created_by, name, description, entity_type, entity_id, is_private, metadata,
       created_at, updated_at)
    select
      ${channel.id}, ${tenantId}, ${channel.type}, ${channel.createdBy}, ${channel.name}, ${channel.description},
      ${channel.entityType}, ${channel.entityId}, ${channel.isPrivate}, ${channel.metadata}::text::jsonb,
      t.now, t.now
    from (select now_ms() as now) as t
    on conflict do nothing
  `;
}

export type ChannelChange = {
  readonly name: string | undefined;
  readonly description: string | null | undefined;
  readonly isPrivate: boolean | undefined;
  readonly metadata: string | null | undefined;
};

/** Updates the fields that are not undefined. */
export function updateChannel(
  sql: Sql,
  tenantId: bigint,
  channelId: bigint,
  change: ChannelChange,
): PendingQuery<ChannelRow[]> {
  const { name, description, isPrivate, metadata } = change;
  return sql<ChannelRow[]>`
    update channels c
    set
      ${name === undefined ? sql`` : sql`name = ${name},`}
      ${description === undefined ? sql`` : sql`description = ${description},`}
      ${isPrivate === undefined ? sql`` : sql`is_private = ${isPrivate},`}
      ${metadata === undefined ? sql`` : sql`metadata = ${metadata}::text::jsonb,`}
      updated_at = greatest(c.updated_at, now_ms())
    where c.id = ${channelId}
      and c.tenant_id = ${tenantId}
      and c.deleted_at is null
    returning ${channelColumns(sql)}
  `;
}

/** A business entity that a topic channel is about. */
export type Entity = { readonly type: string; readonly id: bigint };

/** An entity in columns of a statement. */
type EntityColumns = { readonly type: PendingQuery<never[]>; readonly id: PendingQuery<never[]> };

/** Id of the channel of an entity: its own one, or the one its discussion was moved to; null when there is none. */
export function topicOf(sql: Sql, tenantId: bigint, { type, id }: Entity | EntityColumns) {
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
