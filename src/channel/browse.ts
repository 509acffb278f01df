import type { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { wordsOf } from '../db/words.ts';
import type { Deps } from '../deps.ts';
import type { Handlers } from '../rpc/call.ts';
import { errors } from '../rpc/errors.ts';
import { fromPageToken, toPageToken } from '../rpc/page-token.ts';
import { browseChannels, listTrending } from './browse-sql.ts';
import { toChannel, toOwnMembership } from './view.ts';

type BrowseHandlers = Pick<Handlers<typeof ChannelService>, 'browseChannels' | 'listTrendingChannels'>;

export function browseHandlers({ db }: Deps): BrowseHandlers {
  return {
    async browseChannels({ query, pageSize, pageToken }, call) {
      const { tenantId, userId } = call.caller;
      const size = pageSize === 0 ? 50 : pageSize;
      const words = wordsOf(query);
      if (words.length === 0 && /\S/.test(query))
        throw errors.fieldInvalid('query', 'holds no word to look for');
      const [after = null] = fromPageToken(pageToken, 1) ?? [];
      const rows = await db.run(call, (sql) => browseChannels(sql, tenantId, userId, words, after, size + 1));
      const shown = rows.slice(0, size);
      const last = shown.at(-1);
      return {
        entries: shown.map((row) => ({ channel: toChannel(row), membership: toOwnMembership(row) })),
        nextPageToken: rows.length <= size || last === undefined ? '' : toPageToken([last.id]),
      };
    },

    async listTrendingChannels({ pageSize }, call) {
      const { tenantId, userId } = call.caller;
      const size = pageSize === 0 ? 20 : pageSize;
      const rows = await db.run(call, (sql) => listTrending(sql, tenantId, userId, size));
      return {
        entries: rows.map((row) => ({
          channel: toChannel(row),
          recentMessageCount: row.recentMessageCount,
        })),
      };
    },
  };
}
