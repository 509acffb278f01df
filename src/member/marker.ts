import type { MemberService } from '#gen/serp/discuss/v1/member_service_pb.ts';
import { signalRead } from '../activity/view.ts';
import { requireRole, requireVisible } from '../channel/access.ts';
import { toTimestamp } from '../db/time.ts';
import type { Deps } from '../deps.ts';
import type { Call, Handlers } from '../rpc/call.ts';
import { errors } from '../rpc/errors.ts';
import type { UnreadCache } from './cache.ts';
import { type MarkerRow, updateMarker, updateMarkerBack } from './marker-sql.ts';
import { listReaders } from './reader-sql.ts';
import { listUnread } from './unread-sql.ts';

type MarkerHandlers = Pick<
  Handlers<typeof MemberService>,
  'markRead' | 'markUnread' | 'listReaders' | 'getUnreadSummary'
>;

const SUMMARY_ENTRIES = 5_000;

export function markerHandlers(deps: Deps & { readonly unreadCache: UnreadCache }): MarkerHandlers {
  const { config, db, unreadCache, metrics } = deps;
  return {
    async markRead({ channelId, messageId }, call) {
      const { tenantId, userId } = call.caller;
      const [found] = await db.run(call, (sql) => updateMarker(sql, tenantId, userId, channelId, messageId));
      return tellMarker(deps, call, channelId, found);
    },

    async markUnread({ channelId, messageId }, call) {
      const { tenantId, userId } = call.caller;
      const [found] = await db.run(call, (sql) =>
        updateMarkerBack(sql, tenantId, userId, channelId, messageId),
      );
      return tellMarker(deps, call, channelId, found);
    },

    async listReaders({ channelId, messageId }, call) {
      const { tenantId, userId } = call.caller;
      const { readersMaxMembers } = config.channel;
      const [found] = await db.run(call, (sql) =>
        listReaders(sql, tenantId, userId, channelId, messageId, readersMaxMembers),
      );
      const row = requireVisible(call.caller, found);
      requireRole(call.caller, row, 'GUEST');
      if (row.readers === null) throw errors.messageNotFound();
      if (row.memberCount > readersMaxMembers) throw errors.channelTooLarge(readersMaxMembers);
      return { userIds: row.readers };
    },

    async getUnreadSummary(_request, call) {
      const { tenantId, userId } = call.caller;
      const known = await unreadCache.find(userId);
      const rows = await db.run(call, (sql) => listUnread(sql, tenantId, userId, SUMMARY_ENTRIES, known));
      const counted = rows.flatMap((row) => {
        const [epoch = '', state = ''] = row.state?.split(' ') ?? [];
        return row.state === null ? [] : [{ ...row, epoch, state }];
      });
      unreadCache.keep(userId, counted[0]?.epoch ?? '', counted, rows.length);
      countReads(metrics, rows.length - counted.length, counted.length);
      return {
        entries: rows.map((row) => ({
          channelId: row.channelId,
          unreadCount: row.unreadCount,
          lastReadMessageId: row.lastReadMsgId ?? 0n,
          lastMessageTime: toTimestamp(row.lastMessageAt),
          unreadMentionCount: row.unreadMentionCount,
        })),
        totalUnreadCount: rows[0]?.total ?? 0n,
        totalUnreadMentionCount: rows[0]?.totalMentions ?? 0n,
      };
    },
  };
}

function countReads({ cacheReads }: Deps['metrics'], hits: number, misses: number): void {
  cacheReads.inc({ cache: 'unread', result: 'hit' }, hits);
  cacheReads.inc({ cache: 'unread', result: 'miss' }, misses);
}

function tellMarker({ relay }: Deps, call: Call, channelId: bigint, found: MarkerRow | undefined) {
  const { tenantId, userId } = call.caller;
  const marker = requireVisible(call.caller, found);
  if (marker.role === null) throw errors.memberNotFound();
  if (!marker.isThere) throw errors.messageNotFound();
  const state = { lastReadMessageId: marker.lastReadMsgId ?? 0n, unreadCount: marker.unreadCount };
  if (marker.moved)
    relay.signal(tenantId, userId, { case: 'readMarkerMoved', value: { channelId, ...state } });
  signalRead(relay, call.caller, marker.activityIds);
  return state;
}
