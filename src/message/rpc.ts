import type { MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import { Code } from '#gen/google/rpc/code_pb.ts';
import type {
  MessageService,
  SendMessageRequestSchema,
  SendMessageResponseSchema,
} from '#gen/serp/discuss/v1/message_service_pb.ts';
import { signalActivities } from '../activity/view.ts';
import { requireRole } from '../channel/access.ts';
import { toTimestamp } from '../db/time.ts';
import type { Sql } from '../db/types.ts';
import type { Deps } from '../deps.ts';
import { appendEvent, type LoggedEvent } from '../event/log/sql.ts';
import type { Call, Caller, Handlers } from '../rpc/call.ts';
import { errors, RpcError } from '../rpc/errors.ts';
import { lockMessage } from './access.ts';
import type { MessageCache } from './cache.ts';
import { deleteMessage, listVersions } from './change-sql.ts';
import { edit, requireEdit } from './edit.ts';
import { readHistory, toPage } from './history.ts';
import { leftOut } from './mention.ts';
import { findSent, prepare, toSent } from './send.ts';
import type { SendQueue } from './send-queue.ts';
import { findMessage, type MessageRow } from './sql.ts';
import { toMessage, toMessageDeleted, toScrubbed, toTombstone, toVersion } from './view.ts';

export type MessageDeps = Deps & {
  readonly sendQueue: SendQueue;
  readonly messageCache: MessageCache;
  /** Ends the typing indicator of a member who has sent a message. */
  readonly typing: { sent(channelId: bigint, userId: bigint): void };
};

type SendRequest = MessageShape<typeof SendMessageRequestSchema>;
type Sent = MessageInitShape<typeof SendMessageResponseSchema>;

type MessageHandlers = Pick<
  Handlers<typeof MessageService>,
  'sendMessage' | 'getMessage' | 'listMessages' | 'editMessage' | 'listEdits' | 'deleteMessage'
>;

export function messageRoutes(deps: MessageDeps): MessageHandlers {
  return {
    async sendMessage(request, call) {
      return post(deps, call, request).catch(async (error) => {
        const earlier = isRejection(error) ? await findSent(deps, call, request) : undefined;
        if (earlier === undefined) throw error;
        return toSent(request, earlier, true);
      });
    },

    async getMessage({ channelId, messageId }, call) {
      const { tenantId, userId } = call.caller;
      const [row] = await deps.db.run(call, (sql) =>
        findMessage(sql, tenantId, userId, channelId, messageId),
      );
      if (row === undefined) throw errors.messageNotFound();
      return { message: toMessage(row) };
    },

    async listMessages(request, call) {
      return readHistory(deps, call, request.channelId, toPage(request));
    },

    async editMessage(request, call) {
      requireEdit(request);
      const { message, events, activities } = await deps.db.transaction(call, (sql) =>
        edit(sql, call.caller, deps.config, request),
      );
      deps.messageCache.forget(request.channelId, events[0]?.seq);
      deps.relay.publish(events);
      signalActivities(deps.relay, activities);
      const asked = request.updateMask?.paths.includes('mention_user_ids') ? request.mentionUserIds : [];
      return { message: toMessage(message), ignoredMentionUserIds: leftOut(asked, message.mentions) };
    },

    async listEdits({ channelId, messageId }, call) {
      const { tenantId, userId } = call.caller;
      const rows = await deps.db.run(call, (sql) =>
        listVersions(sql, tenantId, userId, channelId, messageId),
      );
      if (rows.length === 0) throw errors.messageNotFound();
      return {
        versions: rows.flatMap((row) =>
          row.version === null ? [] : [toVersion({ ...row, version: row.version })],
        ),
      };
    },

    async deleteMessage({ channelId, messageId }, call) {
      const { message, events } = await deps.db.transaction(call, async (sql) => {
        const row = await lockMessage(sql, call.caller, channelId, messageId);
        const isOwn = row.senderId === call.caller.userId && row.senderId !== 0n;
        if (!isOwn) requireRole(call.caller, row, 'ADMIN');
        if (row.isDeleted) return { message: row, events: [] };
        const tombstone = toTombstone(row, row.now, call.caller.userId);
        return { message: tombstone, events: await remove(sql, call.caller, tombstone) };
      });
      deps.messageCache.forget(channelId, events[0]?.seq);
      deps.relay.publish(events);
      return { message: toMessage(message) };
    },
  };
}

async function remove(sql: Sql, { userId }: Caller, tombstone: MessageRow): Promise<LoggedEvent[]> {
  const [shortened] = await deleteMessage(
    sql,
    tombstone,
    userId,
    tombstone.deletedAt ?? 0n,
    toScrubbed(tombstone),
    toMessageDeleted(tombstone, userId, undefined),
  );
  const deleted = toMessageDeleted(tombstone, userId, shortened);
  return appendEvent(sql, tombstone.channelId, 'MESSAGE_DELETED', userId, deleted, tombstone.id);
}

async function post(deps: MessageDeps, call: Call, request: SendRequest): Promise<Sent> {
  const { message, item } = await prepare(deps, call, request);
  const sent = await deps.sendQueue.send(item, call.signal);
  switch (sent.errorReason) {
    case null: {
      deps.typing.sent(request.channelId, call.caller.userId);
      const createTime = toTimestamp(sent.createdAt);
      return toSent(request, { ...message, id: sent.messageId, position: sent.position, createTime }, false);
    }
    case 'REPEATED':
      throw errors.requestIdReused();
    case 'MEMBER_MUTED':
      throw errors.memberMuted();
    case 'CHANNEL_ARCHIVED':
      throw errors.channelArchived();
    case 'MESSAGE_NOT_FOUND':
      throw errors.messageNotFound();
    case 'MESSAGE_DELETED':
      throw errors.messageDeleted();
    case 'CHANNEL_NOT_FOUND':
      throw errors.channelNotFound();
  }
}

// Not overload, deadlines and lost connections: what they leave open, the client's next retry finds out.
const rejections: ReadonlySet<Code> = new Set([
  Code.INVALID_ARGUMENT,
  Code.NOT_FOUND,
  Code.ALREADY_EXISTS,
  Code.PERMISSION_DENIED,
  Code.FAILED_PRECONDITION,
]);

function isRejection(error: unknown): boolean {
  return error instanceof RpcError && rejections.has(error.code);
}
