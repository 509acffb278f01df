import type { PendingQuery } from 'postgres';
import type { Pool, Sql } from '../db/types.ts';
import type { StatusName } from './state.ts';

export type ChosenRow = {
  readonly status: StatusName;
  readonly statusText: string;
  readonly expiresAt: bigint | null;
  readonly updatedAt: bigint;
};

/** Keeps what a user chose, in place of what was chosen before. */
export function chooseStatus(
  sql: Sql,
  tenantId: bigint,
  userId: bigint,
  status: StatusName,
  text: string,
  expiresAt: bigint | null,
): PendingQuery<ChosenRow[]> {
  return sql<ChosenRow[]>`
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

/** What the caller chose, if that has not ended. */
export function findChosen(sql: Sql, tenantId: bigint, userId: bigint): PendingQuery<ChosenRow[]> {
  return sql<ChosenRow[]>`
    select s.status, s.status_text, s.expires_at, s.updated_at
    from user_statuses s
    where s.tenant_id = ${tenantId}
      and s.user_id = ${userId}
      and (s.expires_at is null or s.expires_at > now_ms())
  `;
}

export type TextRow = {
  readonly userId: bigint;
  readonly statusText: string;
  readonly expiresAt: bigint | null;
};

/** Texts that users of the caller's tenant chose. */
export function findTexts(sql: Sql, userIds: readonly bigint[]): PendingQuery<TextRow[]> {
  return sql<TextRow[]>`
    select user_id, status_text, expires_at
    from user_status_texts(${sql.array([...userIds], 1016)})
  `;
}

export type UserKey = { readonly tenantId: bigint; readonly userId: bigint };
export type ChoiceRow = UserKey & Omit<ChosenRow, 'statusText'>;

/** What users of several tenants chose; no row for those who never did. Checks no rights. */
export function listChosen(sql: Pool, users: readonly UserKey[]): PendingQuery<ChoiceRow[]> {
  return sql<ChoiceRow[]>`
    select tenant_id, user_id, status, expires_at, updated_at
    from list_status_overrides(${tenants(sql, users)}, ${ids(sql, users)})
  `;
}

export type AudienceRow = UserKey & {
  readonly channelIds: bigint[];
  readonly statusText: string | null;
  readonly expiresAt: bigint | null;
};

/** Which channels are told of users of several tenants, and the users' texts. Checks no rights. */
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

/** The next members of a channel by id; null when it is none of the caller's. */
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

export type TypistRow = {
  readonly memberStatus: 'ACTIVE' | 'MUTED';
  readonly isArchived: boolean;
  readonly memberCount: number;
};

/** A member's channel as it matters to who types in it; no row when it is none of the user's. */
export function findTypist(
  sql: Sql,
  tenantId: bigint,
  userId: bigint,
  channelId: bigint,
): PendingQuery<TypistRow[]> {
  return sql<TypistRow[]>`
    select m.status as member_status, c.is_archived, c.member_count
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
