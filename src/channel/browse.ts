import type { PendingQuery } from 'postgres';
import {
  BrowseChannelsResponse_EntrySchema,
  type ChannelService,
  ListTrendingChannelsResponse_EntrySchema,
} from '#gen/serp/discuss/v1/channel_service_pb.ts';
import type { Sql } from '../db/types.ts';
import { wordsOf } from '../db/words.ts';
import type { Deps } from '../deps.ts';
import { membershipColumns } from '../membership/sql.ts';
import type { Handlers } from '../rpc/call.ts';
import { errors } from '../rpc/errors.ts';
import { fromPageToken, pageOfItems, toPageToken } from '../rpc/page-token.ts';
import { countFitting } from '../rpc/response-size.ts';
import { type AccessRow, type ChannelRow, channelColumns } from './sql.ts';
import { toChannel, toOwnMembership } from './view.ts';

type BrowseHandlers = Pick<Handlers<typeof ChannelService>, 'browseChannels' | 'listTrendingChannels'>;

export function browseHandlers({ db }: Deps): BrowseHandlers {
  return {
    async browseChannels(request, call) {
      const { tenantId, userId } = call.caller;
      const size = request.pageSize;
      const words = wordsOf(request.query);
      if (words.length === 0 && /\S/.test(request.query))
        throw errors.fieldInvalid('query', 'contains no word');
      const [after = null] = fromPageToken(request.pageToken, 1) ?? [];
      const rows = await db.read(call, (sql) =>
        browseChannels(sql, tenantId, userId, words, after, size + 1),
      );
      const { items, nextPageToken } = pageOfItems(
        rows,
        size,
        BrowseChannelsResponse_EntrySchema,
        (row) => ({ channel: toChannel(row), membership: toOwnMembership(row) }),
        (last) => [last.id],
      );
      return { entries: items, nextPageToken };
    },

    // A page token contains the rest of the ranking, because every message changes the ranking.
    async listTrendingChannels({ pageSize, pageToken }, call) {
      const { tenantId, userId } = call.caller;
      const rest = fromPageToken(pageToken)?.flatMap((id) => id ?? []);
      const rows = await db.read(call, (sql) =>
        listTrending(sql, tenantId, userId, rest?.slice(0, pageSize)),
      );
      const entries = rows.slice(0, pageSize).map((row) => ({
        channel: toChannel(row),
        recentMessageCount: row.recentMessageCount,
      }));
      const count = countFitting(ListTrendingChannelsResponse_EntrySchema, entries);
      const ranking = rest ?? rows.map(({ id }) => id);
      const omitted = count < entries.length ? rows[count] : undefined;
      const next = ranking.slice(omitted === undefined ? pageSize : ranking.indexOf(omitted.id));
      const nextPageToken = next.length === 0 ? '' : toPageToken(next);
      return { entries: entries.slice(0, count), nextPageToken };
    },
  };
}

/** A page of the public groups whose names contain all words, ordered by name. */
function browseChannels(
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

type TrendingRow = ChannelRow & { readonly recentMessageCount: number };

/**
 * Groups that the user can see, ordered by messages of the last 24 hours, or those of `channelIds` in their order.
 */
function listTrending(
  sql: Sql,
  tenantId: bigint,
  userId: bigint,
  channelIds: readonly bigint[] | undefined,
): PendingQuery<TrendingRow[]> {
  const ranking =
    channelIds === undefined
      ? sql`
        select v.id, v.recent_message_count, row_number() over (order by v.recent_message_count desc, v.id) as place
        from trending_channels v
        where v.tenant_id = ${tenantId}
          and v.recent_message_count > 0`
      : sql`
        select r.id, recent_message_count(r.id) as recent_message_count, r.place
        from unnest(${sql.array([...channelIds], 1016)}::bigint[]) with ordinality as r(id, place)`;
  return sql<TrendingRow[]>`
    select ${channelColumns(sql)}, t.recent_message_count::int as recent_message_count
    from (${ranking}) as t
    join channels c on c.id = t.id
    where c.tenant_id = ${tenantId}
      and not c.is_archived
      and c.deleted_at is null
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
    order by t.place
  `;
}
