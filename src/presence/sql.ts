import type { PendingQuery } from 'postgres';
import type { Pool, Sql } from '../db/types.ts';
import type { StatusName } from './state.ts';

export type StatusOverrideRow = {
  readonly status: StatusName;
  readonly statusText: string;
  readonly expiresAt: bigint | null;
  readonly updatedAt: bigint;
};

/** Sets or replaces the status override of a user. */
export function upsertStatusOverride(
  sql: Sql,
  tenantId: bigint,
  userId: bigint,
  status: StatusName,
  text: string,
  expiresAt: bigint | null,
): PendingQuery<StatusOverrideRow[]> {
  return sql<StatusOverrideRow[]>`
    insert into user_statuses as s (tenant_id, user_id, status, status_text, expires_at, updated_at)
    values (${tenantId}, ${userId}, ${status}, ${text}, ${expiresAt}, now_ms())
    on conflict (tenant_id, user_id) do update
    set
      status = excluded.status,
      status_text = excluded.status_text,
      expires_at = excluded.expires_at,
      updated_at = greatest(excluded.updated_at, s.updated_at + 1)
    returning s.status, s.status_text, s.expires_at, s.updated_at
  `;
}

/** The status override of the caller, unless it has expired. */
export function findStatusOverride(
  sql: Sql,
  tenantId: bigint,
  userId: bigint,
): PendingQuery<StatusOverrideRow[]> {
  return sql<StatusOverrideRow[]>`
    select s.status, s.status_text, s.expires_at, s.updated_at
    from user_statuses s
    where s.tenant_id = ${tenantId}
      and s.user_id = ${userId}
      and (s.expires_at is null or s.expires_at > now_ms())
  `;
}

export type StatusTextRow = {
  readonly userId: bigint;
  readonly statusText: string;
  readonly expiresAt: bigint | null;
};

/** Status texts of users of the caller's tenant. */
export function listStatusTexts(sql: Sql, userIds: readonly bigint[]): PendingQuery<StatusTextRow[]> {
  return sql<StatusTextRow[]>`
    select user_id, status_text, expires_at
    from user_status_texts(${sql.array([...userIds], 1016)})
  `;
}

export type UserKey = { readonly tenantId: bigint; readonly userId: bigint };
export type UserStatusOverrideRow = UserKey & Omit<StatusOverrideRow, 'statusText'>;

/** Status overrides of users of several tenants; no row for users without one. Checks no rights. */
export function listStatusOverrides(
  sql: Pool,
  users: readonly UserKey[],
): PendingQuery<UserStatusOverrideRow[]> {
  return sql<UserStatusOverrideRow[]>`
    select tenant_id, user_id, status, expires_at, updated_at
    from list_status_overrides(${tenants(sql, users)}, ${ids(sql, users)})
  `;
}

export type AudienceRow = UserKey & {
  readonly channelIds: bigint[];
  readonly statusText: string | null;
  readonly expiresAt: bigint | null;
};

/** Channels that are notified of users of several tenants, and the users' texts. Checks no rights. */
export function listAudiences(
  sql: Pool,
  users: readonly UserKey[],
  maxMembers: number,
  maxChannels: number,
): PendingQuery<AudienceRow[]> {
  return sql<AudienceRow[]>`
    select tenant_id, user_id, channel_ids, status_text, expires_at
    from presence_audiences(${tenants(sql, users)}, ${ids(sql, users)}, ${maxMembers}, ${maxChannels})
  `;
}

/** The next members of a channel by id; null when the caller is not a member. */
export function listMemberIds(
  sql: Sql,
  channelId: bigint,
  after: bigint,
  limit: number,
): PendingQuery<{ readonly userIds: bigint[] | null }[]> {
  return sql<{ userIds: bigint[] | null }[]>`
    select member_ids(${channelId}, ${after}, ${limit}) as user_ids
  `;
}

export type TypingMemberRow = {
  readonly isRestricted: boolean;
  readonly isArchived: boolean;
  readonly memberCount: number;
};

/** What decides whether a member may type in a channel; no row when the user is not a member. */
export function findTypingMember(
  sql: Sql,
  tenantId: bigint,
  userId: bigint,
  channelId: bigint,
): PendingQuery<TypingMemberRow[]> {
  return sql<TypingMemberRow[]>`
    select is_restricted(m.status, m.restricted_until) as is_restricted, c.is_archived, c.member_count
    from channel_members m
    join channels c on c.id = m.channel_id and c.tenant_id = m.tenant_id
    where m.channel_id = ${channelId}
      and m.tenant_id = ${tenantId}
      and m.user_id = ${userId}
      and is_member_status(m.status)
      and c.deleted_at is null
  `;
}

function tenants(sql: Pool, users: readonly UserKey[]) {
  return sql.array(
    users.map(({ tenantId }) => tenantId),
    1016,
  );
}

function ids(sql: Pool, users: readonly UserKey[]) {
  return sql.array(
    users.map(({ userId }) => userId),
    1016,
  );
}
