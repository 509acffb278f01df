import type { PendingQuery } from 'postgres';
import type { Sql } from '../db/types.ts';
import { type ChannelRow, channelColumns } from './sql.ts';

/** Puts a channel away or opens it again. The channel's row must be locked. */
export function updateArchived(
  sql: Sql,
  tenantId: bigint,
  channelId: bigint,
  archived: boolean,
): PendingQuery<ChannelRow[]> {
  return sql<ChannelRow[]>`
    update channels c
    set is_archived = ${archived},
        updated_at = greatest(c.updated_at, now_ms())
    where c.id = ${channelId}
      and c.tenant_id = ${tenantId}
      and c.deleted_at is null
    returning ${channelColumns(sql)}
  `;
}

/** Deletes a channel softly: nothing finds it any more. The channel's row must be locked. */
export function updateDeleted(sql: Sql, tenantId: bigint, channelId: bigint): PendingQuery<never[]> {
  return sql<never[]>`
    update channels c
    set deleted_at = t.now,
        updated_at = greatest(c.updated_at, t.now)
    from (select now_ms() as now) as t
    where c.id = ${channelId}
      and c.tenant_id = ${tenantId}
      and c.deleted_at is null
  `;
}
