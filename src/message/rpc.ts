import type { MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import { type MessageSchema, MessageType } from '#gen/serp/discuss/v1/message_pb.ts';
import {
  type ListMessagesRequestSchema,
  type MessageService,
  SendMessageRequestSchema,
} from '#gen/serp/discuss/v1/message_service_pb.ts';
import { toMetadata } from '../channel/metadata.ts';
import { fromPageToken, toPageToken } from '../db/page-token.ts';
import { hashRequest } from '../db/request-hash.ts';
import { toTimestamp } from '../db/time.ts';
import type { Deps } from '../deps.ts';
import type { Call, Handlers } from '../edge/call.ts';
import { refuse } from '../edge/errors.ts';
import { PLACEHOLDER_ID, placeholderTime, toStampable } from '../event/stamp.ts';
import { findMessage, findRepeated, type HistoryRow, listHistory, type SendItem } from './sql.ts';
import { toMessage, toTypeColumn } from './view.ts';

type SendRequest = MessageShape<typeof SendMessageRequestSchema>;
type ListRequest = MessageShape<typeof ListMessagesRequestSchema>;

const LAST_ID = 0x7fff_ffff_ffff_ffffn;

export function messageRoutes(deps: Deps): Handlers<typeof MessageService> {
  return {
    async sendMessage(request, call) {
      const parentId = await findThread(deps, call, request);
      const message = toUnsent(request, call, parentId);
      const sent = await deps.sends.send(toItem(request, call, message), call.signal);
      switch (sent.refusal) {
        case null:
          return {
            message: {
              ...message,
              id: sent.messageId,
              position: sent.position,
              createTime: toTimestamp(sent.createdAt),
            },
          };
        case 'REPEATED':
          return { message: await findSent(deps, call, request), repeatedRequest: true };
        case 'MEMBER_MUTED':
          throw refuse.roleTooLow('to post');
        case 'CHANNEL_ARCHIVED':
          throw refuse.channelArchived();
        case 'MESSAGE_NOT_FOUND':
          throw refuse.messageNotFound();
        case 'CHANNEL_NOT_FOUND':
          throw refuse.channelNotFound();
      }
    },

    async getMessage({ channelId, messageId }, call) {
      const { tenantId, userId } = call.caller;
      const [row] = await deps.db.run(call, (sql) =>
        findMessage(sql, tenantId, userId, channelId, messageId),
      );
      if (row === undefined) throw refuse.messageNotFound();
      return { message: toMessage(row) };
    },

    async listMessages(request, call) {
      const { tenantId, userId } = call.caller;
      const page = toPage(request);
      const rows = await deps.db.run(call, (sql) =>
        listHistory(sql, tenantId, userId, request.channelId, page),
      );
      const [first] = rows;
      if (first === undefined) throw refuse.channelNotFound();
      return { ...toHistory(rows, page), headSeq: first.headSeq };
    },
  };
}

// A reply to a reply joins the thread of the first message. A message's thread never changes, so this is
// looked up before the batch; the batch checks once more that the channel is still the caller's.
async function findThread(deps: Deps, call: Call, { channelId, parentId }: SendRequest): Promise<bigint> {
  if (parentId === 0n) return 0n;
  const { tenantId, userId } = call.caller;
  const [parent] = await deps.db.run(call, (sql) => findMessage(sql, tenantId, userId, channelId, parentId));
  if (parent === undefined) throw refuse.messageNotFound();
  if (parent.isDeleted) throw refuse.messageDeleted();
  return parent.parentId ?? parent.id;
}

function toUnsent(request: SendRequest, { caller }: Call, parentId: bigint) {
  return {
    id: PLACEHOLDER_ID,
    position: PLACEHOLDER_ID,
    createTime: placeholderTime,
    channelId: request.channelId,
    senderId: caller.userId,
    type: request.type === MessageType.UNSPECIFIED ? MessageType.TEXT : request.type,
    content: request.content,
    mentionUserIds: [...new Set(request.mentionUserIds)],
    parentId,
    metadata: toMetadata('metadata', request.metadata),
  } satisfies MessageInitShape<typeof MessageSchema>;
}

function toItem(request: SendRequest, { caller }: Call, message: ReturnType<typeof toUnsent>): SendItem {
  const event = toStampable({
    channelId: message.channelId,
    actorId: caller.userId,
    change: { case: 'messageCreated', value: { message, requestId: request.requestId } },
  });
  return {
    tenantId: caller.tenantId.toString(),
    userId: caller.userId.toString(),
    channelId: message.channelId.toString(),
    requestId: request.requestId === '' ? null : request.requestId,
    payloadHash:
      request.requestId === '' ? null : hashRequest(SendMessageRequestSchema, request).toString('base64'),
    type: toTypeColumn(message.type),
    content: message.content,
    mentions: message.mentionUserIds.map(String),
    parentId: message.parentId === 0n ? null : message.parentId.toString(),
    metadata: message.metadata ?? null,
    payload: event.payload.toString('base64'),
    seqAt: event.seqAt,
    messageAt: event.messageAt,
  };
}

async function findSent(
  deps: Deps,
  call: Call,
  request: SendRequest,
): Promise<MessageInitShape<typeof MessageSchema>> {
  const { tenantId, userId } = call.caller;
  const [row] = await deps.db.run(call, (sql) => findRepeated(sql, tenantId, userId, request.requestId));
  if (row === undefined || !row.payloadHash.equals(hashRequest(SendMessageRequestSchema, request)))
    throw refuse.requestIdReused();
  return toMessage(row);
}

type Page = {
  readonly pivot: bigint;
  readonly older: number;
  readonly newer: number;
  readonly towards: 'older' | 'newer' | 'both';
  readonly size: number;
};

// One row more than asked for in the direction of the page, and one in the other, tell whether there is more.
function toPage(request: ListRequest): Page {
  const size = request.pageSize === 0 ? 50 : request.pageSize;
  const towardsOlder = (pivot: bigint): Page => ({
    pivot,
    older: size + 1,
    newer: 1,
    towards: 'older',
    size,
  });
  const towardsNewer = (pivot: bigint): Page => ({
    pivot,
    older: 1,
    newer: size + 1,
    towards: 'newer',
    size,
  });
  const token = fromPageToken(request.pageToken, 2);
  if (token !== undefined) {
    const [newer, pivot] = token;
    return newer === 1n ? towardsNewer(pivot ?? 0n) : towardsOlder(pivot ?? LAST_ID);
  }
  switch (request.position.case) {
    case 'beforeMessageId':
      return towardsOlder(request.position.value);
    case 'afterMessageId':
      return towardsNewer(request.position.value + 1n);
    case 'aroundMessageId': {
      const older = Math.floor(size / 2);
      return {
        pivot: request.position.value,
        older: older + 1,
        newer: size - older + 1,
        towards: 'both',
        size,
      };
    }
    default:
      return towardsOlder(LAST_ID);
  }
}

function toHistory(rows: readonly HistoryRow[], page: Page) {
  const messages = rows.filter((row) => row.id !== null);
  const older = messages.filter((row) => !row.newer);
  const newer = messages.filter((row) => row.newer);
  const hasOlder = older.length >= page.older;
  const hasNewer = newer.length >= page.newer;
  const shownOlder = page.towards === 'newer' ? [] : older.slice(hasOlder ? 1 : 0);
  const shownNewer = page.towards === 'older' ? [] : newer.slice(0, page.newer - 1);
  const shown = [...shownOlder, ...shownNewer];
  return {
    messages: shown.map(toMessage),
    hasOlder,
    hasNewer,
    nextPageToken: toNextToken(page, shown, page.towards === 'newer' ? hasNewer : hasOlder),
  };
}

function toNextToken(page: Page, shown: readonly { id: bigint }[], hasNext: boolean): string {
  const edge = page.towards === 'newer' ? shown.at(-1) : shown.at(0);
  if (!hasNext || edge === undefined) return '';
  return page.towards === 'newer' ? toPageToken([true, edge.id + 1n]) : toPageToken([false, edge.id]);
}
