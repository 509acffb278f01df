import type { PendingQuery } from 'postgres';
import type { Sql } from '../db/types.ts';

/** A line of an export with its place; without a line: only a place to continue from. */
export type ExportRow = {
  readonly key: bigint;
  readonly part: bigint;
  /** JSON text. */
  readonly line: string | null;
  /** JSON text of ExportedFile; null without files. */
  readonly files: string | null;
};

type Rows = PendingQuery<ExportRow[]>;

export function exportChannel(sql: Sql, tenantId: bigint, channelId: bigint): Rows {
  return sql<ExportRow[]>`
    select 0::bigint as key, 0::bigint as part, line, null as files
    from export_channel(${tenantId}, ${channelId}) as line
  `;
}

export function exportMembers(
  sql: Sql,
  tenantId: bigint,
  channelId: bigint,
  after: bigint,
  limit: number,
): Rows {
  return sql<ExportRow[]>`
    select key, 0::bigint as part, line, null as files
    from export_members(${tenantId}, ${channelId}, ${after}, ${limit})
    order by key
  `;
}

/** Messages of a channel with their earlier versions: all, or what concerns a user. */
export function exportMessages(
  sql: Sql,
  { tenantId, channelId, userId }: { tenantId: bigint; channelId: bigint; userId: bigint | null },
  after: { readonly key: bigint; readonly part: bigint },
  limits: { readonly scan: number; readonly lines: number },
): Rows {
  return sql<ExportRow[]>`
    select key, part, line, files
    from export_messages(
      ${tenantId}, ${channelId}, ${userId}, ${after.key}, ${after.part}, ${limits.scan}, ${limits.lines}
    )
    order by key, part
  `;
}

export function exportUser(sql: Sql, tenantId: bigint, userId: bigint): Rows {
  return sql<ExportRow[]>`
    select 0::bigint as key, 0::bigint as part, line, files
    from export_user(${tenantId}, ${userId})
  `;
}

export function exportMemberships(
  sql: Sql,
  tenantId: bigint,
  userId: bigint,
  after: bigint,
  limit: number,
): Rows {
  return sql<ExportRow[]>`
    select key, 0::bigint as part, line, null as files
    from export_memberships(${tenantId}, ${userId}, ${after}, ${limit})
    order by key
  `;
}

export function exportActivities(
  sql: Sql,
  tenantId: bigint,
  userId: bigint,
  after: { readonly key: bigint; readonly part: bigint },
  limit: number,
): Rows {
  return sql<ExportRow[]>`
    select key, part, line, null as files
    from export_activities(${tenantId}, ${userId}, ${after.key}, ${after.part}, ${limit})
    order by key, part
  `;
}

/** What a legal hold keeps of deleted messages of a channel. */
export function exportHeld(
  sql: Sql,
  tenantId: bigint,
  channelId: bigint,
  after: bigint,
  limit: number,
): Rows {
  return sql<ExportRow[]>`
    select key, 0::bigint as part, line, null as files
    from export_held(${tenantId}, ${channelId}, ${after}, ${limit})
    order by key
  `;
}

/** Events of a channel that a legal hold keeps after their day was dropped. */
export function exportHeldEvents(
  sql: Sql,
  tenantId: bigint,
  channelId: bigint,
  after: bigint,
  limit: number,
): PendingQuery<{ key: bigint; payload: Buffer }[]> {
  return sql<{ key: bigint; payload: Buffer }[]>`
    select key, payload
    from export_held_events(${tenantId}, ${channelId}, ${after}, ${limit})
    order by key
  `;
}

/** The first channel after an id of which a user is or was a member. */
export function findNextChannel(
  sql: Sql,
  tenantId: bigint,
  userId: bigint,
  after: bigint,
): PendingQuery<{ channelId: bigint }[]> {
  return sql<{ channelId: bigint }[]>`
    select channel_id from list_member_channels(${tenantId}, ${userId}, ${after}, 1)
  `;
}
