import type { MessageInitShape } from '@bufbuild/protobuf';
import type { PendingQuery } from 'postgres';
import type { ThreadSummarySchema } from '#gen/serp/discuss/v1/message_pb.ts';
import type { MessageService } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { requireRole } from '../channel/access.ts';
import { toTimestamp } from '../db/time.ts';
import type { Sql } from '../db/types.ts';
import type { Deps } from '../deps.ts';
import { appendEvent } from '../event/log/sql.ts';
import { type PatchableEvent, toPatchable } from '../event/log/wire.ts';
import type { Handlers } from '../rpc/call.ts';
import { errors } from '../rpc/errors.ts';
import { lockMessageToDelete } from './access.ts';
import type { MessageCache } from './cache.ts';
import type { MessageRow, ThreadColumns } from './sql.ts';
import { toMessage } from './view.ts';

type DeleteHandlers = Pick<Handlers<typeof MessageService>, 'deleteMessage'>;

export function deleteHandlers(deps: Deps & { readonly messageCache: MessageCache }): DeleteHandlers {
  return {
    async deleteMessage({ channelId, messageId }, call) {
      const { message, events } = await deps.db.lockingTransaction(call, channelId, async (sql) => {
        const row = await lockMessageToDelete(sql, call.caller, channelId, messageId);
        const isOwn = row.senderId === call.caller.userId && row.senderId !== 0n;
        if (!isOwn) requireRole(call.caller, row, 'ADMIN');
        if (!isOwn && row.isRestricted === true) throw errors.memberMuted();
        if (row.isDeleted) return { message: row, events: [] };
        const { userId } = call.caller;
        const tombstone = toTombstone(row, row.now, userId);
        const deleted = await removeMessage(sql, userId, tombstone);
        const events = await appendEvent(sql, channelId, 'MESSAGE_DELETED', userId, deleted, messageId);
        return { message: tombstone, events };
      });
      deps.messageCache.forget(channelId, events[0]?.seq);
      deps.relay.publish(call.caller.tenantId, events);
      return { message: toMessage(message) };
    },
  };
}

/**
 * Deletes a message and everything attached to it, and redacts its events in the log. Returns the event of the deletion,
 * which the caller appends next. The channel must be locked.
 */
export async function removeMessage(
  sql: Sql,
  userId: bigint,
  tombstone: MessageRow,
): Promise<PatchableEvent> {
  const [thread] = await deleteMessage(
    sql,
    tombstone,
    userId,
    tombstone.deletedAt ?? 0n,
    toRedacted(tombstone),
    toMessageDeleted(tombstone, userId, undefined),
  );
  return toMessageDeleted(tombstone, userId, thread);
}

type ThreadSummaryRow = ThreadColumns & { readonly rootId: bigint };

/**
 * Deletes a message and everything attached to it, and redacts its events in the log: `created` replaces the event
 * that posted it, `later` every following one. Returns its thread if it was a reply.
 */
function deleteMessage(
  sql: Sql,
  message: { readonly channelId: bigint; readonly id: bigint },
  actorId: bigint,
  now: bigint,
  created: PatchableEvent,
  later: PatchableEvent,
): PendingQuery<ThreadSummaryRow[]> {
  return sql<ThreadSummaryRow[]>`
    select root_id, thread_count, thread_user_count, thread_users, last_reply_at
    from delete_message(
      ${message.channelId}, ${message.id}, ${actorId}, ${now},
      ${created.payload}, ${created.seqOffset}, ${later.payload}, ${later.seqOffset}
    )
  `;
}

/** A message without its content, as it remains after the deletion. */
export function toTombstone(row: MessageRow, deletedAt: bigint, deletedBy: bigint): MessageRow {
  return {
    ...row,
    isDeleted: true,
    deletedAt,
    deletedBy,
    content: '',
    mentions: [],
    mentionScope: null,
    metadata: null,
    reactions: '[]',
    votes: null,
    attachments: null,
    pinnedAt: null,
    pinnedBy: null,
    notice: null,
    encryptedContent: null,
  };
}

/** The event that a message was deleted, with the thread it was a reply in, if any. */
function toMessageDeleted(
  tombstone: MessageRow,
  actorId: bigint,
  thread: ThreadSummaryRow | undefined,
): PatchableEvent {
  const value = {
    message: toMessage(tombstone),
    thread: thread === undefined ? undefined : toSummary(thread),
  };
  return toPatchable({
    channelId: tombstone.channelId,
    actorId,
    change: { case: 'messageDeleted', value },
  });
}

/** The redacted event that replaces the one that posted the message. Later events carry the thread. */
function toRedacted(tombstone: MessageRow): PatchableEvent {
  const bare = { ...tombstone, threadCount: 0, threadUserCount: 0, threadUsers: [], lastReplyAt: null };
  return toPatchable({
    channelId: tombstone.channelId,
    actorId: tombstone.senderId,
    change: { case: 'messageCreated', value: { message: toMessage(bare) } },
  });
}

function toSummary(row: ThreadSummaryRow): MessageInitShape<typeof ThreadSummarySchema> {
  return {
    rootMessageId: row.rootId,
    replyCount: row.threadCount,
    participantCount: row.threadUserCount,
    participantUserIds: row.threadUsers,
    lastReplyTime: toTimestamp(row.lastReplyAt),
  };
}
