import type { MessageInitShape } from '@bufbuild/protobuf';
import { type AttachmentSchema, ScanStatus } from '#gen/serp/discuss/v1/attachment_pb.ts';
import { columnEnum } from '../db/column-enum.ts';
import { parseExactly } from '../db/exact-json.ts';
import { toDuration, toTimestamp } from '../db/time.ts';
import type { Deps } from '../deps.ts';
import { openFileNames } from '../encryption/content.ts';
import { type PatchableEvent, toPatchable } from '../event/log/wire.ts';
import type { AttachmentRow } from './sql.ts';

type AttachmentInit = MessageInitShape<typeof AttachmentSchema>;

const statuses = columnEnum(ScanStatus);

export function toAttachment(row: AttachmentRow): AttachmentInit {
  return {
    id: row.id,
    channelId: row.channelId,
    messageId: row.messageId ?? 0n,
    uploaderId: row.uploaderId,
    fileName: row.fileName,
    size: row.fileSize,
    contentType: row.fileType ?? '',
    scanStatus: statuses.toValue(row.scanStatus) ?? ScanStatus.UNSPECIFIED,
    width: row.width ?? 0,
    height: row.height ?? 0,
    preview: row.preview ?? new Uint8Array(),
    hasThumbnail: row.thumbnailUrl !== null,
    uploaded: row.uploadState === 'UPLOADED',
    createTime: toTimestamp(row.createdAt),
    ...(row.durationMs !== null && { duration: toDuration(row.durationMs) }),
    ...(row.encryptedName && { encryptedName: row.encryptedName }),
  };
}

/** The same with its decrypted name. */
export async function openAttachment(
  { encryption }: Pick<Deps, 'encryption'>,
  row: AttachmentRow,
): Promise<AttachmentInit> {
  const attachment = toAttachment(row);
  await openFileNames(encryption.keys, [attachment]);
  return attachment;
}

/** The same as part of a message, whose id is not repeated. */
export function toMessageAttachment(row: AttachmentRow): AttachmentInit {
  return { ...toAttachment(row), messageId: 0n };
}

/** The files of a message, from its column `attachments`. */
export function fromAttachmentsJson(json: string | null | undefined): AttachmentInit[] {
  if (json === null || json === undefined) return [];
  return parseExactly<StoredFile[]>(json).map((file) => ({
    id: file.id,
    channelId: file.channel,
    uploaderId: file.uploader,
    fileName: file.name,
    size: file.size,
    contentType: file.type ?? '',
    scanStatus: statuses.toValue(file.scan) ?? ScanStatus.UNSPECIFIED,
    width: Number(file.width ?? 0n),
    height: Number(file.height ?? 0n),
    preview: Buffer.from(file.preview ?? '', 'base64'),
    hasThumbnail: file.thumbnail,
    uploaded: true,
    createTime: toTimestamp(file.created),
    ...(file.duration_ms !== null && { duration: toDuration(file.duration_ms) }),
    ...(file.encrypted_name && { encryptedName: Buffer.from(file.encrypted_name, 'base64') }),
  }));
}

/** As `message_attachments` returns it. */
type StoredFile = {
  readonly id: bigint;
  readonly channel: bigint;
  readonly uploader: bigint;
  readonly name: string;
  readonly size: bigint;
  readonly type: string | null;
  readonly scan: string;
  readonly width: bigint | null;
  readonly height: bigint | null;
  readonly preview: string | null;
  readonly thumbnail: boolean;
  readonly duration_ms: bigint | null;
  readonly encrypted_name: string | null;
  readonly created: bigint;
};

/** The event that a file of a message changed, or was removed from it. */
export function toAttachmentChanged(row: AttachmentRow, actorId: bigint, removed: boolean): PatchableEvent {
  const attachment = removed ? { id: row.id } : toMessageAttachment(row);
  const value = { messageId: row.messageId ?? 0n, attachment, removed };
  const encrypted = !removed && row.encryptedName !== null;
  const change = { case: 'attachmentChanged', value } as const;
  return toPatchable({ channelId: row.channelId, actorId, encrypted, change });
}
