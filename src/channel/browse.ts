import type { ChannelService } from '#gen/serp/discuss/v1/channel_service_pb.ts';
import { wordsOf } from '../db/words.ts';
import type { Deps } from '../deps.ts';
import type { Handlers } from '../rpc/call.ts';
import { errors } from '../rpc/errors.ts';
import { fromPageToken, pageOf, pageSizeOf } from '../rpc/page-token.ts';
import { browseChannels, listTrending } from './browse-sql.ts';
import { toChannel, toOwnMembership } from './view.ts';

type BrowseHandlers = Pick<Handlers<typeof ChannelService>, 'browseChannels' | 'listTrendingChannels'>;

export function browseHandlers({ db }: Deps): BrowseHandlers {
  return {
    async browseChannels(request, call) {
      const { tenantId, userId } = call.caller;
      const size = pageSizeOf(request);
      const words = wordsOf(request.query);
      if (words.length === 0 && /\S/.test(request.query))
        throw errors.fieldInvalid('query', 'holds no word to look for');
      const [after = null] = fromPageToken(request.pageToken, 1) ?? [];
      const rows = await db.run(call, (sql) => browseChannels(sql, tenantId, userId, words, after, size + 1));
      const { page, nextPageToken } = pageOf(rows, size, (last) => [last.id]);
      const entries = page.map((row) => ({ channel: toChannel(row), membership: toOwnMembership(row) }));
      return { entries, nextPageToken };
    },

    async listTrendingChannels(request, call) {
      const { tenantId, userId } = call.caller;
      const size = pageSizeOf(request, 20);
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
