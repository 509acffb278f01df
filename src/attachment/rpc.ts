import type { PendingQuery } from 'postgres';
import { AttachmentSchema } from '#gen/serp/discuss/v1/attachment_pb.ts';
import {
  type AttachmentService,
  ListAttachmentsRequest_Kind as Kind,
} from '#gen/serp/discuss/v1/attachment_service_pb.ts';
import { requireRole } from '../channel/access.ts';
import { lockChannel } from '../channel/sql.ts';
import type { Config } from '../config.ts';
import { toTimestamp } from '../db/time.ts';
import type { Sql } from '../db/types.ts';
import { openFileNames } from '../encryption/content.ts';
import { appendEvent } from '../event/log/sql.ts';
import type { LoggedEvent } from '../event/log/wire.ts';
import type { Caller, Handlers } from '../rpc/call.ts';
import { errors } from '../rpc/errors.ts';
import { fromPageToken, pageOfItems } from '../rpc/page-token.ts';
import { requireFound } from './access.ts';
import { isInlineType, toDisposition } from './file.ts';
import { redactFile } from './redact.ts';
import {
  type AttachmentRow,
  attachmentColumns,
  deleteSent,
  deleteUnsent,
  findAttachment,
  findPoster,
  touchMessage,
} from './sql.ts';
import { type UploadDeps, uploadHandlers } from './upload.ts';
import { openAttachment, toAttachment, toAttachmentChanged } from './view.ts';

export type AttachmentDeps = UploadDeps & {
  /** Evicts the messages of a channel of which one has changed. */
  readonly messageCache: { forget(channelId: bigint, seq: bigint | undefined): void };
};

export function attachmentRoutes(deps: AttachmentDeps): Handlers<typeof AttachmentService> {
  const { db, storage, config, now, relay, messageCache } = deps;
  return {
    ...uploadHandlers(deps),

    async getAttachment({ channelId, attachmentId }, call) {
      const { tenantId, userId } = call.caller;
      const [row] = await db.run(call, (sql) =>
        findAttachment(sql, tenantId, userId, channelId, attachmentId),
      );
      return { attachment: await openAttachment(deps, requireFound(row)) };
    },

    async getDownloadUrl({ channelId, attachmentId, inline, thumbnail }, call) {
      const { tenantId, userId } = call.caller;
      const [found] = await db.run(call, (sql) =>
        findAttachment(sql, tenantId, userId, channelId, attachmentId),
      );
      const row = requireFound(found);
      requireReadable(config, call.caller, row);
      const expiresMs = config.attachment.downloadUrlMs;
      const { fileName = '' } = await openAttachment(deps, row);
      const named = { ...row, fileName };
      const { key, type, disposition } = thumbnail ? thumbnailOf(named) : fileOf(named, inline);
      const url = await storage.presignGet(key, { type, disposition, expiresMs });
      return { url, expireTime: toTimestamp(BigInt(now() + expiresMs)) };
    },

    async listAttachments({ channelId, kind, uploaderId, pageSize, pageToken }, call) {
      const { tenantId, userId } = call.caller;
      const [createdAt, id] = fromPageToken(pageToken, 2) ?? [];
      const before = typeof createdAt === 'bigint' && typeof id === 'bigint' ? { createdAt, id } : undefined;
      const filter = { channelId, uploaderId, typePrefix: prefixes.get(kind), isOther: kind === Kind.OTHER };
      const rows = await db.run(call, (sql) =>
        listAttachments(sql, tenantId, userId, filter, before, pageSize + 1),
      );
      if (rows.length === 0) throw errors.channelNotFound();
      const files = rows.flatMap((row) => (row.id === null ? [] : [row]));
      const { items, nextPageToken } = pageOfItems(
        files,
        pageSize,
        AttachmentSchema,
        toAttachment,
        (last) => [last.createdAt, last.id],
      );
      await openFileNames(deps.encryption.keys, items);
      return { attachments: items, nextPageToken };
    },

    async deleteAttachment({ channelId, attachmentId }, call) {
      const events = await db.transaction(call, (sql) => remove(sql, call.caller, channelId, attachmentId));
      messageCache.forget(channelId, events[0]?.seq);
      relay.publish(call.caller.tenantId, events);
      return {};
    },
  };
}

const prefixes: ReadonlyMap<Kind, string> = new Map([
  [Kind.IMAGE, 'image/'],
  [Kind.VIDEO, 'video/'],
  [Kind.AUDIO, 'audio/'],
]);

function requireReadable({ attachment }: Config, { userId }: Caller, row: AttachmentRow): void {
  if (row.uploadState === 'UPLOADING') throw errors.uploadIncomplete('the upload was not completed');
  const isOwnPending =
    attachment.pendingForUploader && row.scanStatus === 'PENDING' && row.uploaderId === userId;
  if (row.scanStatus !== 'CLEAN' && !isOwnPending) throw errors.attachmentNotClean(row.id, row.scanStatus);
}

type Download = { readonly key: string; readonly type: string; readonly disposition: string };

function fileOf(row: AttachmentRow, inline: boolean): Download {
  const type = row.fileType ?? 'application/octet-stream';
  const isInline = inline && row.inlineSafe && isInlineType(type);
  return {
    key: row.s3Key,
    type,
    disposition: toDisposition(isInline ? 'inline' : 'attachment', row.fileName),
  };
}

function thumbnailOf({ thumbnailUrl, fileName }: AttachmentRow): Download {
  const [, key] = /^s3:\/\/[^/]+\/(.+)$/.exec(thumbnailUrl ?? '') ?? [];
  if (key === undefined) throw errors.attachmentNotFound();
  return { key, type: 'image/webp', disposition: toDisposition('inline', `${fileName}.webp`) };
}

async function remove(
  sql: Sql,
  caller: Caller,
  channelId: bigint,
  attachmentId: bigint,
): Promise<readonly LoggedEvent[]> {
  const { tenantId, userId } = caller;
  const [, [found], [member]] = await Promise.all([
    lockChannel(sql, tenantId, channelId),
    findAttachment(sql, tenantId, userId, channelId, attachmentId),
    findPoster(sql, tenantId, userId, channelId),
  ]);
  const row = requireFound(found);
  if (row.messageId === null) {
    await deleteUnsent(sql, tenantId, userId, attachmentId);
    return [];
  }
  if (member === undefined) throw errors.channelNotFound();
  if (member.isArchived) throw errors.channelArchived();
  if (row.uploaderId !== userId) requireRole(caller, member, 'ADMIN');
  const changed = toAttachmentChanged(row, userId, true);
  await redactFile(sql, tenantId, { id: row.id, channelId, messageId: row.messageId });
  await deleteSent(sql, tenantId, attachmentId);
  await touchMessage(sql, tenantId, row.messageId);
  return appendEvent(sql, channelId, 'ATTACHMENT_CHANGED', userId, changed, row.messageId);
}

/** What a list of files is restricted to: a prefix of the type, or all types but images, videos and audio. */
type ListFilter = {
  readonly channelId: bigint;
  readonly uploaderId: bigint;
  readonly typePrefix: string | undefined;
  readonly isOther: boolean;
};

/** Files of a channel's messages, newest first. One row without file when there are none, no row without membership. */
function listAttachments(
  sql: Sql,
  tenantId: bigint,
  userId: bigint,
  { channelId, uploaderId, typePrefix, isOther }: ListFilter,
  before: { readonly createdAt: bigint; readonly id: bigint } | undefined,
  limit: number,
): PendingQuery<(AttachmentRow | { readonly id: null })[]> {
  return sql<(AttachmentRow | { readonly id: null })[]>`
    select f.*
    from channels c
    join channel_members me on me.channel_id = c.id
    left join lateral (
      select ${attachmentColumns(sql)}
      from attachments a
      where a.channel_id = c.id
        and a.tenant_id = ${tenantId}
        and a.message_id is not null
        ${uploaderId === 0n ? sql`` : sql`and a.uploader_id = ${uploaderId}`}
        ${typePrefix === undefined ? sql`` : sql`and starts_with(a.file_type, ${typePrefix})`}
        ${isOther ? sql`and a.file_type !~ '^(image|video|audio)/'` : sql``}
        ${before === undefined ? sql`` : sql`and (a.created_at, a.id) < (${before.createdAt}, ${before.id})`}
      order by a.created_at desc, a.id desc
      limit ${limit}
    ) as f on true
    where c.id = ${channelId}
      and c.tenant_id = ${tenantId}
      and c.deleted_at is null
      and me.user_id = ${userId}
      and me.tenant_id = ${tenantId}
      and is_member_status(me.status)
    order by f.created_at desc, f.id desc
  `;
}
