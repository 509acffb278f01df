import type { PendingQuery } from 'postgres';
import type { ChannelType } from '../channel/sql.ts';
import type { Sql } from '../db/types.ts';
import { joinReader, type Role } from '../membership/sql.ts';
import type { Caller } from '../rpc/call.ts';

export type PreviewRow = {
  readonly id: bigint;
  readonly channelId: bigint;
  readonly senderId: bigint;
  readonly messageType: string;
  readonly content: string;
  readonly mentions: bigint[];
  readonly parentId: bigint | null;
  readonly threadCount: number;
  readonly editedAt: bigint | null;
  readonly deletedAt: bigint | null;
  readonly isDeleted: boolean;
  /** As text: the driver renames keys inside jsonb. */
  readonly metadata: string | null;
  readonly postSeq: bigint;
  readonly createdAt: bigint;
};

export type ThreadColumns = {
  readonly threadCount: number;
  readonly threadUserCount: number;
  readonly threadUsers: bigint[];
  readonly lastReplyAt: bigint | null;
};

/** Columns that a preview does not have. */
export type DetailColumns = ThreadColumns & {
  readonly mentionScope: string | null;
  readonly alsoInChannel: boolean;
  /** JSON text with the first users of each emoji, see `shorten_reactions`. */
  readonly reactions: string;
  /** JSON text: voters and votes of a poll; null for other messages. */
  readonly votes: string | null;
  /** JSON text: the files of a message, see `message_attachments`; null for other messages. */
  readonly attachments: string | null;
  readonly pinnedAt: bigint | null;
  readonly pinnedBy: bigint | null;
  readonly deletedBy: bigint | null;
  /** JSON text; null for messages that are not notices. */
  readonly notice: string | null;
  readonly encryptedContent: Buffer | null;
};

export type MessageRow = PreviewRow & DetailColumns;

/**
 * Columns of MessageRow from `messages m`. The content of a deleted message is removed here, whatever the row
 * contains.
 */
export function messageColumns(sql: Sql) {
  return sql`
    m.id, m.channel_id, m.sender_id, m.message_type,
    case when m.is_deleted then '' else m.content end as content,
    case when m.is_deleted then '{}' else m.mentions end as mentions,
    case when m.is_deleted then null else m.mention_scope end as mention_scope,
    m.parent_id, m.also_in_channel, m.thread_count, m.thread_user_count, m.thread_users, m.last_reply_at,
    m.edited_at, m.deleted_at, m.deleted_by, m.is_deleted,
    case when m.is_deleted then null else m.metadata::text end as metadata,
    case when m.is_deleted then '[]' else shorten_reactions(m.reactions) end as reactions,
    case when m.message_type = 'POLL' and not m.is_deleted then poll_results(m.channel_id, m.id) end as votes,
    case when m.message_type in ('IMAGE', 'FILE') and not m.is_deleted then message_attachments(m.id) end as attachments,
    case when m.is_deleted then null else m.notice::text end as notice,
    case when m.is_deleted then null else m.encrypted_content end as encrypted_content,
    m.pinned_at, m.pinned_by, m.post_seq, m.created_at
  `;
}

/** `seq` of the next event of the channel, which must be locked: the `event_seq` of a message being changed. */
export function nextSeq(sql: Sql) {
  return sql`(select c.event_seq + 1 from channels c where c.id = m.channel_id)`;
}

/** A message; no row when it is not visible to the caller. */
export function findMessage(
  sql: Sql,
  caller: Caller,
  channelId: bigint,
  messageId: bigint,
): PendingQuery<MessageRow[]> {
  const { tenantId } = caller;
  return sql<MessageRow[]>`
    select ${messageColumns(sql)}
    from messages m
    join channels c on c.id = m.channel_id
    ${joinReader(sql, caller)}
    where m.id = ${messageId}
      and m.channel_id = ${channelId}
      and m.tenant_id = ${tenantId}
      and c.tenant_id = ${tenantId}
      and c.deleted_at is null
  `;
}

export type LockedRow = MessageRow & {
  readonly channelType: ChannelType;
  readonly isPrivate: boolean;
  readonly isArchived: boolean;
  readonly mergedInto: bigint | null;
  /** Of the channel; null if it is not encrypted. */
  readonly dataKeyId: bigint | null;
  readonly role: Role | null;
  /** Whether the caller may not post; null for callers who are not members. */
  readonly isRestricted: boolean | null;
  readonly now: bigint;
};

/** A message with the data that decides about changes of it. To be read after locking the channel's row. */
export function findLocked(
  sql: Sql,
  tenantId: bigint,
  userId: bigint,
  channelId: bigint,
  messageId: bigint,
): PendingQuery<LockedRow[]> {
  return sql<LockedRow[]>`
    select
      ${messageColumns(sql)},
      c.type as channel_type, c.is_private, c.is_archived, c.merged_into, c.data_key_id, me.role,
      is_restricted(me.status, me.restricted_until) as is_restricted, now_ms() as now
    from messages m
    join channels c on c.id = m.channel_id
    left join channel_members me
      on me.channel_id = m.channel_id
      and me.user_id = ${userId}
      and me.tenant_id = ${tenantId}
      and is_member_status(me.status)
    where m.id = ${messageId}
      and m.channel_id = ${channelId}
      and m.tenant_id = ${tenantId}
      and c.deleted_at is null
  `;
}

export type AudienceRow = {
  readonly role: Role | null;
  readonly memberCount: number;
  /** Whether only members can be mentioned. */
  readonly isPrivate: boolean;
  /** The requested users who are members. */
  readonly members: bigint[];
};

/** The users that a message in a channel can mention. */
export function findAudience(
  sql: Sql,
  tenantId: bigint,
  userId: bigint,
  channelId: bigint,
  userIds: readonly bigint[],
): PendingQuery<AudienceRow[]> {
  return sql<AudienceRow[]>`
    select
      me.role,
      c.member_count,
      c.is_private or c.type != 'GROUP' as is_private,
      array(
        select x.user_id
        from channel_members x
        where x.channel_id = c.id
          and x.tenant_id = ${tenantId}
          and x.user_id = any(${sql.array([...userIds], 1016)})
          and is_member_status(x.status)
      ) as members
    from channels c
    left join channel_members me
      on me.channel_id = c.id
      and me.user_id = ${userId}
      and me.tenant_id = ${tenantId}
      and is_member_status(me.status)
    where c.id = ${channelId}
      and c.tenant_id = ${tenantId}
      and c.deleted_at is null
  `;
}
