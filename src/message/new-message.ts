import type { JsonObject, MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import { timestampMs } from '@bufbuild/protobuf/wkt';
import { MentionScope, type MessageSchema, MessageType } from '#gen/serp/discuss/v1/message_pb.ts';
import type { SendMessageRequestSchema } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { findSendable } from '../attachment/access.ts';
import { isImageType } from '../attachment/file.ts';
import type { AttachmentRow } from '../attachment/sql.ts';
import { toMessageAttachment } from '../attachment/view.ts';
import { toMetadata } from '../db/metadata.ts';
import { hashRequest } from '../db/request-hash.ts';
import type { Deps } from '../deps.ts';
import { openFileNames, sealContent, withoutContent } from '../encryption/content.ts';
import type { DataKey } from '../encryption/envelope.ts';
import {
  type PatchableEvent,
  PLACEHOLDER_COUNT,
  PLACEHOLDER_ID,
  placeholderTime,
  toPatchable,
} from '../event/log/wire.ts';
import type { Call, Caller } from '../rpc/call.ts';
import { isManager, requireTenant } from '../rpc/caller.ts';
import { errors } from '../rpc/errors.ts';
import { allowedMentions, mayMentionAll, requireContent } from './access.ts';
import type { SendItem } from './send-sql.ts';
import { findAudience, findMessage } from './sql.ts';
import { POLL_DATA, toPoll, toPollJson, toScopeColumn, toTypeColumn } from './view.ts';

type SendRequest = MessageShape<typeof SendMessageRequestSchema>;
export type Message = MessageInitShape<typeof MessageSchema>;
type Mentions = { readonly userIds: readonly bigint[]; readonly scope: MentionScope };

/** A message ready to be posted: the message of its event, and the item for the batch. */
export type NewMessage = { readonly message: Message; readonly item: SendItem };

/** Checks that the proto cannot express, and reads what the message refers to. */
export async function prepareMessage(deps: Deps, call: Call, request: SendRequest): Promise<NewMessage> {
  requireSendable(call.caller, request);
  requireOpenPoll(request, deps.now());
  const metadata = toMetadata('metadata', request.metadata);
  const [key, rootMessageId, mentions, files] = await Promise.all([
    findKey(deps, call, request),
    findThread(deps, call, request),
    findMentions(deps, call, request),
    findSendable((run) => deps.db.run(call, run), call.caller, request.channelId, request.attachmentIds),
  ]);
  const poll = request.poll === undefined ? undefined : { [POLL_DATA]: toPollJson(request.poll) };
  const message: Message = {
    id: PLACEHOLDER_ID,
    position: PLACEHOLDER_ID,
    createTime: placeholderTime,
    channelId: request.channelId,
    senderId: call.caller.userId,
    type: typeOf(request, files),
    content: request.content,
    mentionUserIds: [...mentions.userIds],
    mentionScope: mentions.scope,
    rootMessageId,
    alsoInChannel: rootMessageId !== 0n && request.alsoInChannel,
    metadata: poll !== undefined && Object.keys(metadata ?? {}).length === 0 ? undefined : metadata,
    poll: poll === undefined ? undefined : toPoll(poll, null),
    attachments: files.map(toMessageAttachment),
  };
  if (key !== undefined) return encryptMessage({ deps, key, request, call, message, files });
  const stored = poll === undefined ? metadata : { ...metadata, ...poll };
  return { message, item: toItem(request, call, message, stored, files) };
}

/** The key of an encrypted channel. */
function findKey({ db, encryption }: Deps, call: Call, { channelId }: SendRequest) {
  return encryption.keyOf((run) => db.run(call, run), call.caller.tenantId, channelId);
}

type EncryptParts = {
  readonly deps: Deps;
  readonly key: DataKey;
  readonly request: SendRequest;
  readonly call: Call;
  readonly message: Message;
  readonly files: readonly AttachmentRow[];
};

/** The same for an encrypted channel: the item contains the content in encrypted form only. */
async function encryptMessage(parts: EncryptParts): Promise<NewMessage> {
  const { deps, key, request, call, message, files } = parts;
  const stripped = withoutContent(message);
  const { poll } = request;
  const stored =
    poll === undefined
      ? undefined
      : { [POLL_DATA]: toPollJson({ ...poll, options: poll.options.map(() => '') }) };
  const item = toItem(request, call, stripped, stored, []);
  await openFileNames(deps.encryption.keys, message.attachments ?? []);
  return {
    message,
    item: {
      ...item,
      attachments: files.map(toReference),
      payloadHash: deps.encryption.protectHash(key, item.payloadHash),
      encrypt(messageId) {
        const content = sealContent(key, messageId, message);
        const event = toEvent(request, call.caller, { ...stripped, encryptedContent: content }, true);
        return { messageId, dataKeyId: key.id, content, event };
      },
    },
  };
}

function typeOf({ type }: SendRequest, files: readonly AttachmentRow[]): MessageType {
  if (files.length > 0)
    return files.every(({ fileType }) => isImageType(fileType ?? '')) ? MessageType.IMAGE : MessageType.FILE;
  return type === MessageType.UNSPECIFIED ? MessageType.TEXT : type;
}

function requireSendable(caller: Caller, request: SendRequest): void {
  const isSystem = request.type === MessageType.SYSTEM;
  if (isSystem && caller.kind !== 'service')
    throw errors.callerNotAllowed('only services post SYSTEM messages');
  if (isManager(caller)) {
    requireTenant(caller);
    if (!isSystem) throw errors.callerNotAllowed('a service without a user posts SYSTEM messages only');
  }
  const hasFiles = request.attachmentIds.length > 0;
  const isFileType = request.type === MessageType.IMAGE || request.type === MessageType.FILE;
  if (hasFiles ? !isFileType && request.type !== MessageType.UNSPECIFIED : isFileType)
    throw errors.fieldInvalid(
      'type',
      'must be IMAGE, FILE or UNSPECIFIED with attachments, and another without',
    );
  if ((request.type === MessageType.POLL) !== (request.poll !== undefined))
    throw errors.fieldInvalid('poll', 'must be set for messages of type POLL and for no others');
  if (request.metadata?.[POLL_DATA] !== undefined)
    throw errors.fieldInvalid('metadata', `must not contain ${POLL_DATA}`);
  requireContent(request.content, hasFiles);
}

// Not a rule of the proto: a retry of a posted poll must succeed after its scheduled close time, too.
function requireOpenPoll({ poll }: SendRequest, nowMs: number): void {
  if (poll?.scheduledCloseTime !== undefined && timestampMs(poll.scheduledCloseTime) <= nowMs)
    throw errors.fieldInvalid('poll.scheduled_close_time', 'must be in the future');
}

// A reply to a reply joins the thread of the root message. A message's thread never changes, so it is read before the
// batch, which checks again that the caller is a member.
async function findThread(deps: Deps, call: Call, request: SendRequest): Promise<bigint> {
  const { channelId, replyToMessageId } = request;
  if (replyToMessageId === 0n) return 0n;
  const [parent] = await deps.db.run(call, (sql) =>
    findMessage(sql, call.caller, channelId, replyToMessageId),
  );
  if (parent === undefined) throw errors.messageNotFound();
  if (parent.isDeleted) throw errors.messageDeleted();
  return parent.parentId ?? parent.id;
}

// A user who joins or leaves between this read and the batch is treated as if the message had been posted at this
// moment. The batch checks that the caller is a member.
async function findMentions(deps: Deps, call: Call, request: SendRequest): Promise<Mentions> {
  const { channelId, mentionUserIds, mentionScope } = request;
  if (mentionUserIds.length === 0 && mentionScope === MentionScope.UNSPECIFIED)
    return { userIds: [], scope: mentionScope };
  const { tenantId, userId } = call.caller;
  const [audience] = await deps.db.run(call, (sql) =>
    findAudience(sql, tenantId, userId, channelId, mentionUserIds),
  );
  const mayAll = audience !== undefined && mayMentionAll(deps.config, call.caller, audience);
  if (mayAll && mentionScope === MentionScope.CHANNEL)
    await takeMentions(deps, call.caller, audience.memberCount);
  return {
    userIds: allowedMentions(mentionUserIds, audience),
    scope: mayAll ? mentionScope : MentionScope.UNSPECIFIED,
  };
}

// A mention of a channel costs as many activities as the channel has members. They are recorded after the response, so
// the rate at which a tenant adds them is limited here.
async function takeMentions({ config, limiter }: Deps, caller: Caller, members: number): Promise<void> {
  const { mentionAllPerMinute } = config.message;
  if (mentionAllPerMinute === 0) return;
  const subject = `tenant:${caller.tenantId}`;
  const description = `mentions of all members of channels, ${mentionAllPerMinute} members per minute and tenant`;
  const perMinute = Math.max(1, mentionAllPerMinute / Math.max(1, members));
  const quota = { subject, limit: mentionAllPerMinute, description };
  const key = `{${caller.tenantId}}:mentions`;
  // Not leased, because calls have different sizes.
  const exceeded = await limiter.take([{ key, perMinute, burstMs: 60_000, isLeased: false, quota }]);
  if (exceeded !== undefined) throw errors.rateLimited(quota, exceeded.waitMs);
}

function toItem(
  request: SendRequest,
  { caller }: Call,
  message: Message,
  metadata: JsonObject | undefined,
  files: readonly AttachmentRow[],
): SendItem {
  const { rootMessageId = 0n, mentionUserIds = [] } = message;
  const event = toEvent(request, caller, message, false);
  return {
    tenantId: caller.tenantId,
    userId: caller.userId,
    userName: caller.name,
    isManager: isManager(caller),
    channelId: request.channelId,
    requestId: request.requestId,
    payloadHash: hashRequest(request),
    type: toTypeColumn(message.type ?? MessageType.TEXT),
    content: message.content ?? '',
    mentions: mentionUserIds,
    mentionScope: toScopeColumn(message.mentionScope ?? MentionScope.UNSPECIFIED),
    parentId: rootMessageId,
    alsoInChannel: message.alsoInChannel ?? false,
    metadata: metadata === undefined ? null : JSON.stringify(metadata),
    ...event,
    attachments: files.map(toReference),
    fileNames: files.map(({ fileName }) => fileName).join(' '),
  };
}

function toReference({ id, version }: AttachmentRow) {
  return { id: id.toString(), version };
}

function toEvent(
  { channelId, requestId }: SendRequest,
  { userId }: Caller,
  message: Message,
  encrypted: boolean,
): PatchableEvent {
  const count = (message.rootMessageId ?? 0n) === 0n ? 0 : PLACEHOLDER_COUNT;
  return toPatchable({
    channelId,
    actorId: userId,
    encrypted,
    change: {
      case: 'messageCreated',
      value: { message, requestId, threadReplyCount: count, threadParticipantCount: count },
    },
  });
}
