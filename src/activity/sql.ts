import type { PendingQuery } from 'postgres';
import type { Pool, Sql } from '../db/types.ts';

export type ActivityRow = {
  readonly id: bigint;
  readonly actionType: string;
  readonly actorId: bigint;
  readonly entityType: string | null;
  readonly entityId: bigint | null;
  readonly channelId: bigint | null;
  readonly messageId: bigint | null;
  readonly description: string;
  readonly title: string | null;
  readonly isRead: boolean;
  readonly readAt: bigint | null;
  /** As text: the driver renames keys inside jsonb. */
  readonly metadata: string | null;
  readonly collapseKey: string | null;
  readonly occurrences: number;
  readonly version: number;
  readonly timestamp: bigint;
  readonly preview: string | null;
  readonly isMessageDeleted: boolean;
};

/** `activity_feed a` with its message. Activities of channels are visible to current members only. */
function visibleActivities(sql: Sql, tenantId: bigint, userId: bigint) {
  return sql`
    activity_feed a
    left join channels c
      on c.id = a.channel_id and c.tenant_id = ${tenantId} and c.deleted_at is null
    left join channel_members me
      on me.channel_id = c.id
      and me.user_id = ${userId}
      and me.tenant_id = ${tenantId}
      and is_member_status(me.status)
    left join messages m
      on m.id = a.message_id and m.channel_id = me.channel_id and m.tenant_id = ${tenantId}
    cross join lateral (
      select
        coalesce(m.is_deleted, a.message_id is not null) as is_message_deleted,
        -- The row remains unread if its portion was recorded while MarkRead or MarkThreadRead ran. Later ones about an
        -- older message, such as reactions, have another time.
        a.is_read or (
          a.action_type in ('MENTION_RECEIVED', 'REPLY_RECEIVED', 'MESSAGE_SENT')
          and a."timestamp" = m.created_at
          and (
            me.last_read_msg_id >= a.message_id
            or (
              -- Those stand for messages outside the thread, too.
              a.action_type != 'MESSAGE_SENT'
              and exists (
                select 1
                from thread_followers f
                where f.tenant_id = ${tenantId}
                  and f.root_id = m.parent_id
                  and f.user_id = ${userId}
                  and f.read_reply_id >= a.message_id
              )
            )
          )
        ) is true as is_read
    ) as d
    where a.tenant_id = ${tenantId}
      and a.user_id = ${userId}
      and (a.channel_id is null or me.id is not null)
  `;
}

export type ActivityFilter = {
  readonly unreadOnly: boolean;
  readonly types: readonly string[];
  readonly entityType: string;
  readonly entity?: { readonly type: string; readonly id: bigint } | undefined;
};

/** Order keys of the last activity of a page. */
export type ActivityPlace = readonly [timestamp: bigint, id: bigint];

/** A row without activity when there is none. Each row has the snapshot of the statement. */
export type ListedRow = { readonly snapshot: string } & (ActivityRow | { readonly id: null });

/** Activities of a user after a place in the order, newest first. */
export function listActivities(
  sql: Sql,
  tenantId: bigint,
  userId: bigint,
  filter: ActivityFilter,
  after: ActivityPlace | undefined,
  limit: number,
): PendingQuery<ListedRow[]> {
  const { unreadOnly, types, entityType, entity } = filter;
  return sql<ListedRow[]>`
    select s.snapshot, page.*
    from (select pg_current_snapshot()::text as snapshot) as s
    left join (
      select
        a.id, a.action_type, a.actor_id, a.entity_type, a.entity_id, a.channel_id, a.message_id, a.description,
        a.title, d.is_read or d.is_message_deleted as is_read, a.read_at, a.metadata::text as metadata, a.collapse_key, a.occurrences,
        a.version, a."timestamp",
        case when m.is_deleted then '' else left(m.content, 200) end as preview,
        d.is_message_deleted
      from ${visibleActivities(sql, tenantId, userId)}
        ${unreadOnly ? sql`and a.is_read = false and not d.is_read and not d.is_message_deleted` : sql``}
        ${types.length === 0 ? sql`` : sql`and a.action_type in ${sql([...types])}`}
        ${entityType === '' ? sql`` : sql`and a.entity_type = ${entityType}`}
        ${entity === undefined ? sql`` : sql`and a.entity_type = ${entity.type} and a.entity_id = ${entity.id}`}
        ${
          after === undefined
            ? sql``
            : sql`and a."timestamp" <= ${after[0]} and (a."timestamp", a.id) < (${after[0]}, ${after[1]})`
        }
      order by a."timestamp" desc, a.id desc
      limit ${limit}
    ) as page on true
    order by page."timestamp" desc, page.id desc
  `;
}

export type CountRow = { readonly snapshot: string; readonly type: string | null; readonly unread: number };

/** Unread activities of a user by type; one row without type when there are none. */
export function countUnread(sql: Sql, tenantId: bigint, userId: bigint): PendingQuery<CountRow[]> {
  return sql<CountRow[]>`
    select s.snapshot, u.type, u.unread
    from (select pg_current_snapshot()::text as snapshot) as s
    left join (
      select a.action_type as type, count(*)::int as unread
      from ${visibleActivities(sql, tenantId, userId)}
        and a.is_read = false
        and not d.is_read
        and not d.is_message_deleted
      group by a.action_type
    ) as u on true
    order by u.type collate "C"
  `;
}

/** One activity of a batch, as `record_activities` reads it: bigints as decimal strings. */
export type NewItem = {
  readonly item: number;
  readonly userIds: readonly string[];
  readonly type: string;
  readonly actorId: string;
  readonly entityType: string | null;
  readonly entityId: string | null;
  readonly channelId: string | null;
  readonly title: string | null;
  readonly description: string;
  readonly metadata: string | null;
  readonly collapseKey: string | null;
};

export type RecordedRow = {
  readonly errorReason: 'REPEATED' | 'REQUEST_ID_REUSED' | null;
  /** JSON text for `signalActivities`. */
  readonly activities: string | null;
};

/** Records a batch of activities for a service, once per request id if there is one. */
export function recordActivities(
  sql: Sql,
  items: readonly NewItem[],
  requestId: string | null,
  payloadHash: Buffer | null,
): PendingQuery<RecordedRow[]> {
  return sql<RecordedRow[]>`
    select error_reason, activities
    from record_activities(${JSON.stringify(items)}::text::json, ${requestId}::text::uuid, ${payloadHash})
  `;
}

type Recorded = { readonly activities: string | null };

/** Records that an edit of the caller's message added mentions of these users. */
export function recordMentions(
  sql: Sql,
  message: { readonly channelId: bigint; readonly id: bigint },
  userIds: readonly bigint[],
  actorName: string,
): PendingQuery<Recorded[]> {
  return sql<Recorded[]>`
    select record_mentions(
      ${message.channelId}, ${message.id}, ${sql.array([...userIds], 1016)}, ${actorName}
    ) as activities
  `;
}

/** Records that the caller added these users to the channel. */
export function recordAdditions(
  sql: Sql,
  channelId: bigint,
  userIds: readonly bigint[],
  actorName: string,
): PendingQuery<Recorded[]> {
  return sql<Recorded[]>`
    select record_additions(${channelId}, ${sql.array([...userIds], 1016)}, ${actorName}) as activities
  `;
}

export type PendingRow = {
  /** Null when nothing is due, or when another instance is recording. */
  readonly tenantId: bigint | null;
  readonly messageId: bigint | null;
  /** JSON text for `signalActivities`. */
  readonly activities: string | null;
  readonly error: string | null;
  /** Whether the message was given up because of the error. */
  readonly isParked: boolean | null;
};

/** Records the next portion of activities that messages left for later, for at most `limit` users. */
export function recordPending(sql: Pool, limit: number): PendingQuery<PendingRow[]> {
  return sql<PendingRow[]>`
    select tenant_id, message_id, activities, error, is_parked
    from record_pending_activities(${limit})
  `;
}

export type SentMessagesRow = {
  /** Events of the log that were processed. */
  readonly events: number;
  /** JSON text for `signalActivities`. */
  readonly activities: string | null;
  readonly error: string | null;
  /** Whether the events were skipped because of the error. */
  readonly isSkipped: boolean;
};

/** Records the messages of the next events of the log for members with the notification level ALL. */
export function recordSentMessages(
  sql: Pool,
  limit: number,
  maxMembers: number,
): PendingQuery<SentMessagesRow[]> {
  return sql<SentMessagesRow[]>`
    select events, activities, error, is_skipped
    from record_sent_messages(${limit}, ${maxMembers})
  `;
}

const MARK_LIMIT = 1_000;

/**
 * CTEs that mark the user's activities about messages of a channel as read, up to a message and where a condition on
 * `a.message_id` holds. `seen_activities` has their ids.
 */
export function markSeen(
  sql: Sql,
  tenantId: bigint,
  userId: bigint,
  channelId: bigint,
  upTo: PendingQuery<never[]>,
  condition: PendingQuery<never[]> = sql``,
) {
  return sql`
    unseen_activities as materialized (
      select a.id, a."timestamp"
      from activity_feed a
      where a.tenant_id = ${tenantId}
        and a.user_id = ${userId}
        and a.is_read = false
        and a.channel_id = ${channelId}
        and a.action_type in ('MENTION_RECEIVED', 'REPLY_RECEIVED', 'REACTION_RECEIVED', 'MESSAGE_SENT')
        and a.message_id <= ${upTo}
        ${condition}
      order by a.id
      limit ${MARK_LIMIT}
      for no key update
    ),
    seen_activities as (
      update activity_feed a
      set is_read = true,
          read_at = now_ms()
      from unseen_activities u
      where a.id = u.id and a."timestamp" = u."timestamp"
      returning a.id
    )
  `;
}
