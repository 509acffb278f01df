import type { PendingQuery } from 'postgres';
import type { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { toTimestamp } from '../db/time.ts';
import type { Sql } from '../db/types.ts';
import type { Deps } from '../deps.ts';
import { mentionCountAfter, unreadCount } from '../membership/sql.ts';
import type { Handlers } from '../rpc/call.ts';
import { fromPageToken, pageOf } from '../rpc/page-token.ts';
import type { CachedCounts, UnreadCache } from './cache.ts';

type UnreadHandlers = Pick<Handlers<typeof MemberService>, 'getUnreadSummary'>;

export function unreadHandlers({
  db,
  unreadCache,
  metrics,
}: Deps & { readonly unreadCache: UnreadCache }): UnreadHandlers {
  return {
    async getUnreadSummary({ pageSize, pageToken }, call) {
      const { tenantId, userId } = call.caller;
      const place = toPlace(pageToken);
      const known = await unreadCache.find(userId);
      const rows = await db.run(call, (sql) => listUnread(sql, tenantId, userId, place, pageSize + 1, known));
      const counted = rows.flatMap((row) => {
        const [epoch = '', state = ''] = row.state?.split(' ') ?? [];
        return row.state === null ? [] : [{ ...row, epoch, state }];
      });
      const [first] = rows;
      const channels = place?.channels ?? first?.channels ?? 0;
      unreadCache.keep(userId, counted[0]?.epoch ?? '', counted, channels);
      countReads(metrics, rows.length - counted.length, counted.length);
      const asOf = place?.asOf ?? first?.placedAt ?? NO_MESSAGE;
      const { page, nextPageToken } = pageOf(rows, pageSize, ({ placedAt, channelId }) => [
        asOf,
        BigInt(channels),
        placedAt,
        channelId,
      ]);
      return {
        entries: page.map((row) => ({
          channelId: row.channelId,
          unreadCount: row.unreadCount,
          lastReadMessageId: row.lastReadMsgId ?? 0n,
          lastMessageTime: toTimestamp(row.lastMessageAt),
          unreadMentionCount: row.unreadMentionCount,
        })),
        ...(place === undefined && {
          totalUnreadCount: first?.total ?? 0n,
          totalUnreadMentionCount: first?.totalMentions ?? 0n,
        }),
        nextPageToken,
      };
    },
  };
}

// Position of a channel without messages, behind all others.
const NO_MESSAGE = -1n;

/** Place of the last channel of a page. The order is that at the time of the first page. */
type UnreadPlace = {
  /** Time of the latest message when the first page was read. */
  readonly asOf: bigint;
  /** Number of channels on all pages. */
  readonly channels: number;
  readonly placedAt: bigint;
  readonly channelId: bigint;
};

function toPlace(pageToken: string): UnreadPlace | undefined {
  const keys = fromPageToken(pageToken, 4)?.map((key) => key ?? 0n);
  if (keys === undefined) return undefined;
  const [asOf = 0n, channels = 0n, placedAt = 0n, channelId = 0n] = keys;
  return { asOf, channels: Number(channels), placedAt, channelId };
}

function countReads({ cacheReads }: Deps['metrics'], hits: number, misses: number): void {
  cacheReads.inc({ cache: 'unread', result: 'hit' }, hits);
  cacheReads.inc({ cache: 'unread', result: 'miss' }, misses);
}

type UnreadRow = {
  readonly channelId: bigint;
  readonly unreadCount: number;
  readonly lastReadMsgId: bigint | null;
  readonly lastMessageAt: bigint | null;
  readonly unreadMentionCount: number;
  /** The epoch of the database and the state the counts are of; null when they came from the cache. */
  readonly state: string | null;
  /** Time by which the channel is ordered: that of its latest message when the first page was read. */
  readonly placedAt: bigint;
  /** Number of channels of this page and all later ones. */
  readonly channels: number;
  /** Over all channels that are not muted, of this page and all later ones. */
  readonly total: bigint;
  readonly totalMentions: bigint;
};

/**
 * The user's channels with unread messages, the one with the latest message first, after a place in that order. Counts
 * messages only for channels that are not in `known` with the current state of channel and marker.
 */
function listUnread(
  sql: Sql,
  tenantId: bigint,
  userId: bigint,
  after: UnreadPlace | undefined,
  limit: number,
  known: CachedCounts,
): PendingQuery<UnreadRow[]> {
  return sql<UnreadRow[]>`
    with known as materialized (
      select k.channel_id, k.state, k.unread_count, k.unread_mention_count
      from unnest(
        ${known.channelIds}::text::bigint[], ${known.states}::text::text[],
        ${known.unread}::text::bigint[], ${known.mentions}::text::bigint[]
      ) as k(channel_id, state, unread_count, unread_mention_count)
      where ${known.epoch} = (select database_epoch())
    )
    select
      u.channel_id, u.unread_count::int, u.last_read_msg_id, u.last_message_at, u.unread_mention_count::int, u.state,
      u.placed_at, count(*) over ()::int as channels,
      coalesce(sum(u.unread_count) filter (where not u.is_muted) over (), 0)::bigint as total,
      coalesce(sum(u.unread_mention_count) filter (where not u.is_muted) over (), 0)::bigint as total_mentions
    from (
      select
        c.id as channel_id, m.last_read_msg_id, c.last_message_at, m.is_muted, place.placed_at,
        case when k.channel_id is null then (select database_epoch()) || ' ' || s.state end as state,
        case when k.channel_id is null then ${unreadCount(sql)} else k.unread_count end as unread_count,
        case
          when k.channel_id is null
            then ${mentionCountAfter(sql, tenantId, userId, sql`c.id`, sql`m.last_read_msg_id`)}
          else k.unread_mention_count
        end as unread_mention_count
      from channel_members m
      join channels c on c.id = m.channel_id and c.tenant_id = m.tenant_id
      cross join lateral (
        -- Everything the counts depend on: the first two increase with every change of a message.
        select
          c.event_seq || '.' || c.unread_version || '.' || m.read_post_seq || '.' || coalesce(m.last_read_msg_id, 0)
          || '.' || (m.own_posts - m.own_posts_read) as state
      ) as s
      cross join lateral (select ${placedAt(sql, tenantId, after)} as placed_at) as place
      left join known k on k.channel_id = c.id and k.state = s.state
      where m.tenant_id = ${tenantId}
        and m.user_id = ${userId}
        and is_member_status(m.status)
        and not c.is_archived
        and c.deleted_at is null
        and c.post_seq > m.read_post_seq
        ${after === undefined ? sql`` : sql`and (place.placed_at, c.id) < (${after.placedAt}, ${after.channelId})`}
      offset 0
    ) as u
    where u.unread_count > 0
    order by u.placed_at desc, u.channel_id desc
    limit ${limit}
  `;
}

/** Time of the latest message of a channel; for later pages, of those that the first page could include. */
function placedAt(sql: Sql, tenantId: bigint, after: UnreadPlace | undefined) {
  if (after === undefined) return sql`coalesce(c.last_message_at, ${NO_MESSAGE})`;
  return sql`
    case
      when c.last_message_at > ${after.asOf}
        then coalesce(
          (
            select x.created_at
            from messages x
            where x.channel_id = c.id
              and x.tenant_id = ${tenantId}
              and x.created_at <= ${after.asOf}
            order by x.id desc
            limit 1
          ),
          ${NO_MESSAGE}
        )
      else coalesce(c.last_message_at, ${NO_MESSAGE})
    end
  `;
}
