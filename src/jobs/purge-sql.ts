import type { PendingQuery } from 'postgres';
import type { Pool } from '../db/types.ts';

type Purged = PendingQuery<{ readonly purged: number }[]>;

/** Removes messages for good that were deleted before a time, epoch ms; how many. */
export function purgeMessages(sql: Pool, beforeMs: bigint, limit: number): Purged {
  return sql<{ purged: number }[]>`select purge_deleted_messages(${beforeMs}, ${limit}) as purged`;
}

/** Removes messages for good of a channel that was deleted before a time, epoch ms, and in the end the channel; how many rows. */
export function purgeChannels(sql: Pool, beforeMs: bigint, limit: number): Purged {
  return sql<{ purged: number }[]>`select purge_deleted_channels(${beforeMs}, ${limit}) as purged`;
}

/** Removes activities from before a time, epoch ms; how many. */
export function purgeActivities(sql: Pool, beforeMs: bigint, limit: number): Purged {
  return sql<{ purged: number }[]>`select purge_activities(${beforeMs}, ${limit}) as purged`;
}

export type InactiveRow = { readonly tenantId: bigint; readonly channelId: bigint };

/** Groups of all tenants in which nothing has happened since a time, epoch ms. */
export function listInactiveGroups(sql: Pool, beforeMs: bigint, limit: number): PendingQuery<InactiveRow[]> {
  return sql<InactiveRow[]>`
    select tenant_id, channel_id
    from list_inactive_groups(${beforeMs}, ${limit})
  `;
}
