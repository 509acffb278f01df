import type { MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import type { PendingQuery } from 'postgres';
import { Code } from '#gen/google/rpc/code_pb.ts';
import { MentionScope } from '#gen/serp/discuss/v1/message_pb.ts';
import {
  type MessageService,
  type SendMessageRequestSchema,
  SendMessageResponseSchema,
} from '#gen/serp/discuss/v1/message_service_pb.ts';
import { findChannel } from '../channel/sql.ts';
import { hashRequest } from '../db/request-hash.ts';
import { toTimestamp } from '../db/time.ts';
import type { Sql } from '../db/types.ts';
import type { Deps } from '../deps.ts';
import { openOne } from '../encryption/content.ts';
import { postedMessage } from '../event/log/wire.ts';
import type { Call, Handlers } from '../rpc/call.ts';
import { EncodedResponse } from '../rpc/encoded-response.ts';
import { errors, RpcError } from '../rpc/errors.ts';
import { ignoredMentions } from './access.ts';
import { type Message, prepareMessage } from './new-message.ts';
import type { SendQueue } from './send-queue.ts';
import { isPlain, type SendItem } from './send-sql.ts';
import { type MessageRow, messageColumns } from './sql.ts';
import { toMessage } from './view.ts';

type SendRequest = MessageShape<typeof SendMessageRequestSchema>;
type SendResponse = MessageInitShape<typeof SendMessageResponseSchema>;
type Posted = EncodedResponse<typeof SendMessageResponseSchema>;
type SendHandlers = Pick<Handlers<typeof MessageService>, 'sendMessage'>;

export type SendDeps = Deps & {
  readonly sendQueue: SendQueue;
  /** Ends the typing indicator of a member who has sent a message. */
  readonly typing: { sent(channelId: bigint, userId: bigint): void };
};

export function sendHandlers(deps: SendDeps): SendHandlers {
  return {
    async sendMessage(request, call) {
      return post(deps, call, request).catch(async (error) => {
        const earlier = isRejection(error) ? await findSent(deps, call, request) : undefined;
        if (earlier === undefined) throw error;
        return toResponse(request, earlier, true);
      });
    },
  };
}

// The scan of a file, or the creation of its thumbnail, may end between the preparation and the batch.
const ATTEMPTS = 5;

async function post(
  deps: SendDeps,
  call: Call,
  request: SendRequest,
  attempt = 1,
): Promise<SendResponse | Posted> {
  const { message, item } = await prepareMessage(deps, call, request);
  await call.turn?.before;
  const sending = deps.sendQueue.send(item, call);
  call.turn?.pass();
  const sent = await sending;
  switch (sent.errorReason) {
    case null: {
      deps.typing.sent(request.channelId, call.caller.userId);
      const createTime = toTimestamp(sent.createdAt);
      const posted = { ...message, id: sent.messageId, position: sent.position, createTime };
      const response = toResponse(request, posted, false);
      return isInEvent(item, request)
        ? new EncodedResponse(response, toBinaryResponse(sent.payload))
        : response;
    }
    case 'ATTACHMENT_CHANGED':
      if (attempt === ATTEMPTS) throw errors.conflict();
      return post(deps, call, request, attempt + 1);
    case 'KEY_CHANGED':
      if (attempt === ATTEMPTS) throw errors.conflict();
      deps.encryption.forget(request.channelId);
      return post(deps, call, request, attempt + 1);
    case 'ATTACHMENT_NOT_FOUND':
      throw errors.attachmentNotFound();
    case 'REPEATED':
      throw errors.requestIdReused();
    case 'CHANNEL_BUSY':
      throw errors.overloaded('the channel is locked', 0, 1_000);
    case 'MEMBER_MUTED':
      throw errors.memberMuted();
    case 'CHANNEL_ARCHIVED':
      throw await archivedError(deps, call, request.channelId);
    case 'MESSAGE_NOT_FOUND':
      throw errors.messageNotFound();
    case 'MESSAGE_DELETED':
      throw errors.messageDeleted();
    case 'CHANNEL_NOT_FOUND':
      throw errors.channelNotFound();
  }
}

/** The error names the channel in which a merged discussion continues. */
async function archivedError({ db }: Deps, call: Call, channelId: bigint): Promise<RpcError> {
  const { tenantId, userId } = call.caller;
  const [channel] = await db.run(call, (sql) => findChannel(sql, tenantId, userId, channelId));
  return errors.channelArchived(channel?.mergedInto);
}

// Not overload, deadlines and lost connections: after those, the client's next retry returns the result.
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

/**
 * The message that an earlier call with the same request id posted; undefined if there was none. It is found whatever
 * has happened since: the id is looked up before a retry is rejected for the state of the channel, the sender's
 * membership or the parent. A sender who can no longer read the message gets it as it was posted.
 */
async function findSent(deps: Deps, call: Call, request: SendRequest): Promise<Message | undefined> {
  const { tenantId, userId } = call.caller;
  const [row] = await deps.db.run(call, (sql) => findSentMessage(sql, tenantId, userId, request.requestId));
  if (row === undefined) return undefined;
  const hash = hashRequest(request);
  if (!(await deps.encryption.isSameHash(row.payloadHash, hash, row.channelId)))
    throw errors.requestIdReused();
  return openOne(deps.encryption.keys, toMessage(row.isVisible ? row : asPosted(row)));
}

function asPosted(row: MessageRow): MessageRow {
  return {
    ...row,
    reactions: '[]',
    votes: null,
    pinnedAt: null,
    pinnedBy: null,
    threadCount: 0,
    threadUserCount: 0,
    threadUsers: [],
    lastReplyAt: null,
  };
}

/** Whether the response contains only the message, and the event of the item contains it as the sender wrote it. */
function isInEvent(item: SendItem, request: SendRequest): boolean {
  const hasMentions = request.mentionUserIds.length > 0 || request.mentionScope !== MentionScope.UNSPECIFIED;
  return isPlain(item) && item.content === request.content && !hasMentions;
}

/** In 2 µs; encoding the message again would take 5. */
function toBinaryResponse(event: Buffer): Uint8Array {
  return new BinaryWriter()
    .tag(SendMessageResponseSchema.field.message.number, WireType.LengthDelimited)
    .bytes(postedMessage(event))
    .finish();
}

/** The response: the message and the mentions that were ignored. */
function toResponse(request: SendRequest, message: Message, repeatedRequest: boolean): SendResponse {
  if (message.deleteTime !== undefined) return { message, repeatedRequest };
  return {
    message,
    repeatedRequest,
    ignoredMentionUserIds: ignoredMentions(request.mentionUserIds, message.mentionUserIds),
    mentionScopeIgnored:
      request.mentionScope !== MentionScope.UNSPECIFIED && message.mentionScope !== request.mentionScope,
  };
}

type SentMessageRow = MessageRow & {
  readonly payloadHash: Buffer;
  /** False if the sender cannot read the message any more. */
  readonly isVisible: boolean;
};

/** The message that a request id posted, also if the sender cannot read it any more. */
function findSentMessage(
  sql: Sql,
  tenantId: bigint,
  userId: bigint,
  requestId: string,
): PendingQuery<SentMessageRow[]> {
  return sql<SentMessageRow[]>`
    select
      ${messageColumns(sql)}, k.payload_hash,
      exists (
        select 1
        from messages v
        where v.id = m.id
          and v.tenant_id = ${tenantId}
      ) as is_visible
    from find_sent_message(${tenantId}, ${userId}, ${requestId}) m
    join idempotency_keys k
      on k.tenant_id = ${tenantId}
      and k.user_id = ${userId}
      and k.request_id = ${requestId}
  `;
}
