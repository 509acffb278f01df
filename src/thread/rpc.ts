import { MessageSchema } from '#gen/serp/discuss/v1/message_pb.ts';
import {
  ListThreadsResponse_EntrySchema,
  type MessageService,
} from '#gen/serp/discuss/v1/message_service_pb.ts';
import { signalRead } from '../activity/view.ts';
import type { Deps } from '../deps.ts';
import { openMessages, openPage } from '../encryption/content.ts';
import { toMessage } from '../message/view.ts';
import type { Handlers } from '../rpc/call.ts';
import { isManager } from '../rpc/caller.ts';
import { errors } from '../rpc/errors.ts';
import { fromPageToken, pageOfItems } from '../rpc/page-token.ts';
import { listFollowed, listThread, updateFollowing, updateThreadMarker } from './sql.ts';
import { toState } from './view.ts';

type ThreadHandlers = Pick<
  Handlers<typeof MessageService>,
  'listThread' | 'listThreads' | 'followThread' | 'unfollowThread' | 'markThreadRead'
>;

export function threadRoutes({ db, relay, encryption }: Deps): ThreadHandlers {
  return {
    async listThread(request, call) {
      const { caller } = call;
      const size = request.pageSize;
      const [after] = fromPageToken(request.pageToken, 1) ?? [];
      const rows = await db.run(call, (sql) => listThread(sql, caller, request, after ?? 0n, size + 1));
      const [first] = rows;
      if (first === undefined) throw errors.messageNotFound();
      const messages = rows.flatMap((row) => (row.id === null ? [] : [row]));
      const root = messages.find(({ id }) => id === request.rootMessageId);
      const replies = messages.filter(({ id }) => id !== request.rootMessageId);
      const { items, nextPageToken } = pageOfItems(replies, size, MessageSchema, toMessage, (last) => [
        last.id,
      ]);
      const shown = root === undefined ? undefined : toMessage(root);
      await openPage(encryption.keys, shown === undefined ? items : [shown, ...items]);
      return {
        root: shown,
        replies: items,
        nextPageToken,
        headSeq: first.headSeq,
        state: isManager(caller) ? undefined : toState(first),
      };
    },

    async listThreads(request, call) {
      const { tenantId, userId } = call.caller;
      const size = request.pageSize;
      const keys = fromPageToken(request.pageToken, 2);
      const after = keys === undefined ? undefined : ([keys[0] ?? -1n, keys[1] ?? 0n] as const);
      const rows = await db.run(call, (sql) => listFollowed(sql, tenantId, userId, request, after, size + 1));
      const { items, nextPageToken } = pageOfItems(
        rows,
        size,
        ListThreadsResponse_EntrySchema,
        (row) => ({ root: toMessage(row), state: toState(row) }),
        (last) => [last.lastReplyAt, last.id],
      );
      await openMessages(
        encryption.keys,
        items.flatMap(({ root }) => root ?? []),
      );
      return { entries: items, nextPageToken };
    },

    async followThread(request, call) {
      const { tenantId, userId } = call.caller;
      const [row] = await db.run(call, (sql) => updateFollowing(sql, tenantId, userId, request, true));
      if (row === undefined) throw errors.messageNotFound();
      if (row.isDeleted) throw errors.messageDeleted();
      return { state: toState(row) };
    },

    async unfollowThread(request, call) {
      const { tenantId, userId } = call.caller;
      const [row] = await db.run(call, (sql) => updateFollowing(sql, tenantId, userId, request, false));
      if (row === undefined) throw errors.messageNotFound();
      return {};
    },

    async markThreadRead(request, call) {
      const { tenantId, userId } = call.caller;
      const [row] = await db.run(call, (sql) => updateThreadMarker(sql, tenantId, userId, request));
      if (row === undefined) throw errors.messageNotFound();
      if (row.moved) {
        const { channelId, rootMessageId } = request;
        const { readReplyId, unreadCount } = row;
        const value = { channelId, rootMessageId, lastReadMessageId: readReplyId ?? 0n, unreadCount };
        relay.signal(tenantId, userId, { case: 'threadMarkerMoved', value });
      }
      signalRead(relay, call.caller, row.activityIds);
      return { state: toState(row) };
    },
  };
}
