import type { PendingQuery } from 'postgres';
import type { Sql } from '../db/types.ts';
import type { Role } from '../membership/sql.ts';

export type ReadersRow = {
  readonly type: 'DIRECT' | 'GROUP' | 'TOPIC';
  readonly isPrivate: boolean;
  /** Role of the caller; null where they are no member. */
  readonly role: Role | null;
  readonly memberCount: number;
  /** Null when the channel has no such message. */
  readonly readers: bigint[] | null;
};

/**
 * Members whose marker has reached a message, at most `limit`, without its sender and those who joined after it; no
 * row when there is no such channel.
 */
export function listReaders(
  sql: Sql,
  tenantId: bigint,
  userId: bigint,
  channelId: bigint,
  messageId: bigint,
  limit: number,
): PendingQuery<ReadersRow[]> {
  return sql<ReadersRow[]>`
    select
      c.type, c.is_private, me.role, c.member_count,
      case
        when x.id is not null then array(
          select m.user_id
          from channel_members m
          where m.tenant_id = ${tenantId}
            and m.channel_id = ${channelId}
            and is_member_status(m.status)
            and m.read_post_seq >= x.post_seq
            and m.user_id != x.sender_id
            and m.joined_at <= x.created_at
          order by m.user_id
          limit ${limit}
        )
      end as readers
    from channels c
    left join channel_members me
      on me.channel_id = c.id
      and me.tenant_id = c.tenant_id
      and me.user_id = ${userId}
      and is_member_status(me.status)
    left join messages x on x.id = ${messageId} and x.channel_id = c.id and x.tenant_id = c.tenant_id
    where c.id = ${channelId}
      and c.tenant_id = ${tenantId}
      and c.deleted_at is null
  `;
}
