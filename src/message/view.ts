import type { MessageInitShape } from '@bufbuild/protobuf';
import { type MessageSchema, MessageType } from '#gen/serp/discuss/v1/message_pb.ts';
import { fromMetadataJson } from '../channel/metadata.ts';
import { toTimestamp } from '../db/time.ts';
import type { MessageRow } from './sql.ts';

/** Message as the API shows it. Holds nothing that depends on the reader. */
export function toMessage(row: MessageRow): MessageInitShape<typeof MessageSchema> {
  return {
    id: row.id,
    position: row.postSeq,
    createTime: toTimestamp(row.createdAt),
    channelId: row.channelId,
    senderId: row.senderId,
    type: toMessageType(row.messageType),
    content: row.content,
    mentionUserIds: row.mentions,
    parentId: row.parentId ?? 0n,
    replyCount: row.threadCount,
    editTime: toTimestamp(row.editedAt),
    deleteTime: toTimestamp(row.deletedAt),
    metadata: fromMetadataJson(row.metadata),
  };
}

const types: ReadonlyMap<string, MessageType> = new Map([
  ['TEXT', MessageType.TEXT],
  ['IMAGE', MessageType.IMAGE],
  ['FILE', MessageType.FILE],
  ['SYSTEM', MessageType.SYSTEM],
  ['CODE', MessageType.CODE],
  ['POLL', MessageType.POLL],
]);

function toMessageType(column: string): MessageType {
  return types.get(column) ?? MessageType.UNSPECIFIED;
}

/** Name of a type as the column holds it; an unstated one is text. */
export function toTypeColumn(type: MessageType): string {
  for (const [column, value] of types) if (value === type) return column;
  return 'TEXT';
}
