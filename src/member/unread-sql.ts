import type { PendingQuery } from 'postgres';
import type { Sql } from '../db/database.ts';
import { unread } from './sql.ts';

/**
 * The exact number of messages after a marker that mention the user, from the messages with mentions alone
 * (idx_messages_mentioning).
 */
export function mentionsAfter(
  sql: Sql,
  tenantId: bigint,
  userId: bigint,
  channelId: PendingQuery<never[]>,
  marker: PendingQuery<never[]>,
) {
  return sql`
    (
      select count(*)
      from messages x
      where x.channel_id = ${channelId}
        and x.tenant_id = ${tenantId}
        and x.id > coalesce(${marker}, 0)
        and x.sender_id != ${userId}
        and not x.is_deleted
        and (x.mentions != '{}' or x.mention_scope = 'CHANNEL')
        and (${userId} = any(x.mentions) or x.mention_scope = 'CHANNEL')
    )::int
  `;
}

export type UnreadRow = {
  readonly channelId: bigint;
  readonly unreadCount: number;
  readonly lastReadMsgId: bigint | null;
  readonly lastMessageAt: bigint | null;
  readonly unreadMentionCount: number;
  /** Of all the user's channels that are not muted, also those beyond the limit. */
  readonly total: bigint;
  readonly totalMentions: bigint;
};

/** The user's channels with unread messages, the one with the latest message first. */
export function listUnread(
  sql: Sql,
  tenantId: bigint,
  userId: bigint,
  limit: number,
): PendingQuery<UnreadRow[]> {
  return sql<UnreadRow[]>`
    select
      u.channel_id, u.unread_count, u.last_read_msg_id, u.last_message_at, u.unread_mention_count,
      coalesce(sum(u.unread_count) filter (where not u.is_muted) over (), 0)::bigint as total,
      coalesce(sum(u.unread_mention_count) filter (where not u.is_muted) over (), 0)::bigint as total_mentions
    from (
      select
        c.id as channel_id, ${unread(sql)} as unread_count, m.last_read_msg_id, c.last_message_at, m.is_muted,
        ${mentionsAfter(sql, tenantId, userId, sql`c.id`, sql`m.last_read_msg_id`)} as unread_mention_count
      from channel_members m
      join channels c on c.id = m.channel_id and c.tenant_id = m.tenant_id
      where m.tenant_id = ${tenantId}
        and m.user_id = ${userId}
        and m.status in ('ACTIVE', 'MUTED')
        and not c.is_archived
        and c.deleted_at is null
        and c.post_seq > m.read_post_seq
      offset 0
    ) as u
    where u.unread_count > 0
    order by u.last_message_at desc nulls last, u.channel_id desc
    limit ${limit}
  `;
}
