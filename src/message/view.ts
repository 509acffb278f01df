import type { JsonObject, JsonValue, MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import { timestampMs } from '@bufbuild/protobuf/wkt';
import {
  MentionScope,
  type MessageSchema,
  MessageType,
  type PollSchema,
} from '#gen/serp/discuss/v1/message_pb.ts';
import type { NewPollSchema } from '#gen/serp/discuss/v1/message_service_pb.ts';
import { fromAttachmentsJson } from '../attachment/view.ts';
import { columnEnum } from '../db/column-enum.ts';
import { parseExactly } from '../db/exact-json.ts';
import { fromMetadataJson } from '../db/metadata.ts';
import { toTimestamp } from '../db/time.ts';
import { fromNoticeJson, toSentence } from '../notice/view.ts';
import { toReactions } from '../reaction/view.ts';
import type { DetailColumns, PreviewRow } from './sql.ts';

/** A message as the API returns it. It does not depend on the reader. */
export function toMessage(row: PreviewRow & Partial<DetailColumns>): MessageInitShape<typeof MessageSchema> {
  const metadata = fromMetadataJson(row.metadata);
  const isPoll = row.messageType === 'POLL';
  const notice = row.notice === null || row.notice === undefined ? undefined : fromNoticeJson(row.notice);
  return {
    id: row.id,
    position: row.postSeq,
    createTime: toTimestamp(row.createdAt),
    channelId: row.channelId,
    senderId: row.senderId,
    type: toMessageType(row.messageType),
    content: notice === undefined ? row.content : toSentence(notice),
    mentionUserIds: row.mentions,
    mentionScope: scopes.toValue(row.mentionScope ?? '') ?? MentionScope.UNSPECIFIED,
    rootMessageId: row.parentId ?? 0n,
    alsoInChannel: row.alsoInChannel ?? false,
    replyCount: row.threadCount,
    participantCount: row.threadUserCount ?? 0,
    participantUserIds: row.threadUsers ?? [],
    lastReplyTime: toTimestamp(row.lastReplyAt ?? null),
    editTime: toTimestamp(row.editedAt),
    deleteTime: toTimestamp(row.deletedAt),
    deleterId: row.deletedBy ?? 0n,
    metadata: isPoll ? withoutPoll(metadata) : metadata,
    reactions: toReactions(row.reactions ?? '[]'),
    poll: isPoll && metadata !== undefined ? toPoll(metadata, row.votes ?? null) : undefined,
    pinTime: toTimestamp(row.pinnedAt ?? null),
    pinnerId: row.pinnedBy ?? 0n,
    notice,
    attachments: fromAttachmentsJson(row.attachments),
    ...(row.encryptedContent ? { encryptedContent: row.encryptedContent } : {}),
  };
}

function withoutPoll(metadata: JsonObject | undefined): JsonObject | undefined {
  const { [POLL_DATA]: _, ...rest } = metadata ?? {};
  return Object.keys(rest).length === 0 ? undefined : rest;
}

const types = columnEnum(MessageType);
const scopes = columnEnum(MentionScope);

export function toMessageType(column: string): MessageType {
  return types.toValue(column) ?? MessageType.UNSPECIFIED;
}

/** The text of a type for the column; UNSPECIFIED stands for TEXT. */
export function toTypeColumn(type: MessageType): string {
  return types.toColumn(type) ?? 'TEXT';
}

/** The text of a scope for the column; null where the message mentions users by id at most. */
export function toScopeColumn(scope: MentionScope): string | null {
  return scopes.toColumn(scope) ?? null;
}

/** Key of a poll in the metadata of its message. */
export const POLL_DATA = 'poll_data';

/** A poll as stored in the metadata; times in epoch ms. */
export type PollData = {
  readonly options: readonly { readonly id: number; readonly text: string }[];
  readonly multiple: boolean;
  readonly anonymous: boolean;
  readonly closeAt: bigint | null;
  readonly closedAt: bigint | null;
};

export function toPollJson(poll: MessageShape<typeof NewPollSchema>): JsonObject {
  return {
    options: poll.options.map((text, index) => ({ id: index + 1, text })),
    multiple: poll.multiple,
    anonymous: poll.anonymous,
    close_at: poll.scheduledCloseTime === undefined ? null : Math.floor(timestampMs(poll.scheduledCloseTime)),
    closed_at: null,
  };
}

export function readPoll(metadata: JsonObject): PollData {
  const data = asObject(metadata[POLL_DATA]);
  const options = Array.isArray(data['options']) ? data['options'] : [];
  return {
    options: options.map(asObject).map(({ id, text }) => ({ id: Number(id), text: String(text) })),
    multiple: data['multiple'] === true,
    anonymous: data['anonymous'] === true,
    closeAt: asTime(data['close_at']),
    closedAt: asTime(data['closed_at']),
  };
}

/** A poll with its results, from the metadata and the votes column of its message. */
export function toPoll(metadata: JsonObject, votes: string | null): MessageInitShape<typeof PollSchema> {
  const poll = readPoll(metadata);
  const { voters, options } = readVotes(votes);
  return {
    options: poll.options.map(({ id, text }) => {
      const found = options.find((option) => option.id === BigInt(id));
      return {
        id,
        text,
        voteCount: Number(found?.count ?? 0n),
        voterUserIds: poll.anonymous ? [] : (found?.users ?? []),
      };
    }),
    multiple: poll.multiple,
    anonymous: poll.anonymous,
    scheduledCloseTime: toTimestamp(poll.closeAt),
    manualCloseTime: toTimestamp(poll.closedAt),
    voterCount: Number(voters),
  };
}

type Votes = {
  readonly voters: bigint;
  readonly options: readonly { readonly id: bigint; readonly count: bigint; readonly users: bigint[] }[];
};

function readVotes(json: string | null): Votes {
  const none: Votes = { voters: 0n, options: [] };
  if (json === null) return none;
  const votes: { voters: bigint; options: Votes['options'] | null } = parseExactly(json);
  return { voters: votes.voters, options: votes.options ?? [] };
}

function asObject(value: JsonValue | undefined): JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : {};
}

function asTime(value: JsonValue | undefined): bigint | null {
  return typeof value === 'number' ? BigInt(value) : null;
}
