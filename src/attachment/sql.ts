import type { PendingQuery } from 'postgres';
import type { Sql } from '../db/types.ts';
import type { Role } from '../membership/sql.ts';

export type AttachmentRow = {
  readonly id: bigint;
  /** Null until the file is sent. */
  readonly messageId: bigint | null;
  readonly channelId: bigint;
  readonly uploaderId: bigint;
  readonly fileName: string;
  /** Null in a channel that is not encrypted. */
  readonly encryptedName: Buffer | null;
  readonly fileSize: bigint;
  readonly fileType: string | null;
  readonly s3Key: string;
  readonly thumbnailUrl: string | null;
  readonly width: number | null;
  readonly height: number | null;
  readonly preview: Buffer | null;
  /** Of audio and video that state it. */
  readonly durationMs: bigint | null;
  readonly inlineSafe: boolean;
  readonly scanStatus: string;
  readonly uploadState: 'UPLOADING' | 'UPLOADED';
  readonly uploadId: string | null;
  readonly partSha256: Buffer[];
  readonly version: number;
  readonly createdAt: bigint;
};

/** Columns of AttachmentRow from `attachments a`. */
export function attachmentColumns(sql: Sql) {
  return sql`
    a.id, a.message_id, a.channel_id, a.uploader_id, a.file_name, a.encrypted_name, a.file_size, a.file_type, a.s3_key,
    a.thumbnail_url, a.width, a.height, a.preview, (a.metadata ->> 'duration_ms')::bigint as duration_ms, a.inline_safe,
    a.scan_status, a.upload_state, a.upload_id, a.part_sha256, a.version, a.created_at
  `;
}

export type PosterRow = {
  readonly role: Role;
  readonly isRestricted: boolean;
  readonly isArchived: boolean;
  /** Null in a channel that is not encrypted. */
  readonly dataKeyId: bigint | null;
};

/** The membership of the user in a channel; no row without one. */
export function findPoster(
  sql: Sql,
  tenantId: bigint,
  userId: bigint,
  channelId: bigint,
): PendingQuery<PosterRow[]> {
  return sql<PosterRow[]>`
    select me.role, is_restricted(me.status, me.restricted_until) as is_restricted, c.is_archived, c.data_key_id
    from channels c
    join channel_members me on me.channel_id = c.id
    where c.id = ${channelId}
      and c.tenant_id = ${tenantId}
      and c.deleted_at is null
      and me.user_id = ${userId}
      and me.tenant_id = ${tenantId}
      and is_member_status(me.status)
  `;
}

/** A file of a channel of the user; null values without membership. An unsent one is visible to its uploader only. */
export function findAttachment(
  sql: Sql,
  tenantId: bigint,
  userId: bigint,
  channelId: bigint,
  attachmentId: bigint,
): PendingQuery<(AttachmentRow | { readonly id: null })[]> {
  return sql<(AttachmentRow | { readonly id: null })[]>`
    select f.*
    from channels c
    join channel_members me on me.channel_id = c.id
    left join lateral (
      select ${attachmentColumns(sql)}
      from attachments a
      where a.id = ${attachmentId}
        and a.channel_id = c.id
        and a.tenant_id = ${tenantId}
        and (a.message_id is not null or a.uploader_id = ${userId})
    ) as f on true
    where c.id = ${channelId}
      and c.tenant_id = ${tenantId}
      and c.deleted_at is null
      and me.user_id = ${userId}
      and me.tenant_id = ${tenantId}
      and is_member_status(me.status)
  `;
}

export type NewUpload = {
  readonly id: bigint;
  readonly channelId: bigint;
  readonly fileName: string;
  readonly encryptedName: Buffer | null;
  readonly fileSize: bigint;
  readonly fileType: string;
  readonly fileExtension: string | null;
  readonly bucket: string;
  readonly key: string;
  readonly partSha256: readonly Buffer[];
  readonly urlMs: number;
};

export function insertUpload(
  sql: Sql,
  tenantId: bigint,
  userId: bigint,
  upload: NewUpload,
): PendingQuery<AttachmentRow[]> {
  return sql<AttachmentRow[]>`
    insert into attachments as a
      (id, channel_id, tenant_id, uploader_id, file_name, file_size, file_type, file_extension, s3_bucket, s3_key, s3_url,
       upload_state, part_sha256, urls_expire_at, encrypted_name, created_at, updated_at)
    values
      (${upload.id}, ${upload.channelId}, ${tenantId}, ${userId}, ${upload.fileName}, ${upload.fileSize},
       ${upload.fileType}, ${upload.fileExtension}, ${upload.bucket}, ${upload.key},
       ${`s3://${upload.bucket}/${upload.key}`}, 'UPLOADING', ${sql.array([...upload.partSha256], 1001)},
       now_ms() + ${upload.urlMs}::bigint, ${upload.encryptedName}, now_ms(), now_ms())
    returning ${attachmentColumns(sql)}
  `;
}

/** Extends the time for which an object may be written, and stores its multipart upload if it has none. */
export function renewUpload(
  sql: Sql,
  tenantId: bigint,
  attachmentId: bigint,
  urlMs: number,
  uploadId: string | null,
): PendingQuery<AttachmentRow[]> {
  return sql<AttachmentRow[]>`
    update attachments a
    set
      urls_expire_at = greatest(a.urls_expire_at, now_ms() + ${urlMs}::bigint),
      upload_id = coalesce(a.upload_id, ${uploadId})
    where a.id = ${attachmentId}
      and a.tenant_id = ${tenantId}
      and a.upload_state = 'UPLOADING'
    returning ${attachmentColumns(sql)}
  `;
}

/** Ends an upload; no row if it has ended before. */
export function completeUpload(
  sql: Sql,
  tenantId: bigint,
  attachmentId: bigint,
  fileType: string,
): PendingQuery<AttachmentRow[]> {
  return sql<AttachmentRow[]>`
    update attachments a
    set
      upload_state = 'UPLOADED',
      file_type = ${fileType},
      version = a.version + 1,
      updated_at = now_ms()
    where a.id = ${attachmentId}
      and a.tenant_id = ${tenantId}
      and a.upload_state = 'UPLOADING'
    returning ${attachmentColumns(sql)}
  `;
}

/** Removes a file that was not sent. */
export function deleteUnsent(
  sql: Sql,
  tenantId: bigint,
  userId: bigint,
  attachmentId: bigint,
): PendingQuery<{ id: bigint }[]> {
  return sql<{ id: bigint }[]>`
    delete from attachments a
    where a.id = ${attachmentId}
      and a.tenant_id = ${tenantId}
      and a.uploader_id = ${userId}
      and a.message_id is null
    returning a.id
  `;
}

/** Removes a file from its message. The channel must be locked. */
export function deleteSent(sql: Sql, tenantId: bigint, attachmentId: bigint): PendingQuery<{ id: bigint }[]> {
  return sql<{ id: bigint }[]>`
    delete from attachments a
    where a.id = ${attachmentId}
      and a.tenant_id = ${tenantId}
      and a.message_id is not null
    returning a.id
  `;
}

/** Gives a message the version of the event that follows, and the names of its files. The channel must be locked. */
export function touchMessage(sql: Sql, tenantId: bigint, messageId: bigint): PendingQuery<{ id: bigint }[]> {
  return sql<{ id: bigint }[]>`
    update messages m
    set
      file_names = coalesce(
        (
          select string_agg(a.file_name, ' ' order by a.position)
          from attachments a
          where a.message_id = m.id and a.encrypted_name is null
        ),
        ''
      ),
      event_seq = (select c.event_seq + 1 from channels c where c.id = m.channel_id),
      updated_at = now_ms()
    where m.id = ${messageId}
      and m.tenant_id = ${tenantId}
    returning m.id
  `;
}

/** Files that a message is to contain: those of the user for the channel that are in no message. */
export function findUnsent(
  sql: Sql,
  tenantId: bigint,
  userId: bigint,
  channelId: bigint,
  attachmentIds: readonly bigint[],
): PendingQuery<AttachmentRow[]> {
  return sql<AttachmentRow[]>`
    select ${attachmentColumns(sql)}
    from attachments a
    where a.id = any(${sql.array([...attachmentIds], 1016)})
      and a.channel_id = ${channelId}
      and a.tenant_id = ${tenantId}
      and a.uploader_id = ${userId}
      and a.upload_state = 'UPLOADED'
      and a.message_id is null
  `;
}
