import type { PendingQuery } from 'postgres';
import type { Sql } from '../db/types.ts';
import { membershipColumns } from '../membership/sql.ts';
import { type AccessRow, type ChannelRow, channelColumns } from './sql.ts';

/** Public groups whose names hold all the words, by name, after one of them. */
export function browseChannels(
  sql: Sql,
  tenantId: bigint,
  userId: bigint,
  words: readonly string[],
  after: bigint | null,
  limit: number,
): PendingQuery<AccessRow[]> {
  return sql<AccessRow[]>`
    select ${channelColumns(sql)}, ${membershipColumns(sql)}
    from browse_channels(string_to_array(${words.join(' ')}, ' '), ${after}, ${limit}) as page
    join channels c on c.id = page.channel_id
    left join channel_members m
      on m.channel_id = c.id
      and m.tenant_id = c.tenant_id
      and m.user_id = ${userId}
      and is_member_status(m.status)
    where c.tenant_id = ${tenantId}
      and c.type = 'GROUP'
      and not c.is_private
      and c.deleted_at is null
    order by page.place
  `;
}

export type TrendingRow = ChannelRow & { readonly recentMessageCount: number };

/** Groups that are there for the user, by messages of the last 24 hours. */
export function listTrending(
  sql: Sql,
  tenantId: bigint,
  userId: bigint,
  limit: number,
): PendingQuery<TrendingRow[]> {
  return sql<TrendingRow[]>`
    select ${channelColumns(sql)}, t.recent_message_count::int as recent_message_count
    from trending_channels t
    join channels c on c.id = t.id
    where t.tenant_id = ${tenantId}
      and t.recent_message_count > 0
      and c.tenant_id = ${tenantId}
      and (
        not c.is_private
        or exists (
          select 1
          from channel_members m
          where m.channel_id = c.id
            and m.tenant_id = c.tenant_id
            and m.user_id = ${userId}
            and is_member_status(m.status)
        )
      )
    order by t.recent_message_count desc, c.id
    limit ${limit}
  `;
}
