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
  readonly fileSize: bigint;
  readonly fileType: string | null;
  readonly s3Key: string;
  readonly thumbnailUrl: string | null;
  readonly width: number | null;
  readonly height: number | null;
  readonly preview: Buffer | null;
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
    a.id, a.message_id, a.channel_id, a.uploader_id, a.file_name, a.file_size, a.file_type, a.s3_key, a.thumbnail_url,
    a.width, a.height, a.preview, a.inline_safe, a.scan_status, a.upload_state, a.upload_id, a.part_sha256, a.version,
    a.created_at
  `;
}

export type PosterRow = {
  readonly role: Role;
  readonly status: string;
  readonly isArchived: boolean;
};

/** The membership of the user in a channel; no row without one. */
export function findPoster(
  sql: Sql,
  tenantId: bigint,
  userId: bigint,
  channelId: bigint,
): PendingQuery<PosterRow[]> {
  return sql<PosterRow[]>`
    select me.role, me.status, c.is_archived
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

/** Claims a request id for a new upload and returns the id of its file; no row when the request id is already used. */
export function claimUpload(
  sql: Sql,
  tenantId: bigint,
  userId: bigint,
  upload: { readonly channelId: bigint; readonly requestId: string; readonly hash: Buffer },
): PendingQuery<{ id: bigint }[]> {
  return sql<{ id: bigint }[]>`
    insert into idempotency_keys
      (tenant_id, user_id, request_id, method, payload_hash, channel_id, resource_id, created_at)
    select
      ${tenantId}, ${userId}, ${upload.requestId}::text::uuid, 'CreateUpload', ${upload.hash}, ${upload.channelId},
      nextval('attachments_id_seq'), now_ms()
    on conflict do nothing
    returning resource_id as id
  `;
}

/** Adds a file to the usage of the caller's tenant and user. Returns which limit it exceeds. */
export function reserveStorage(
  sql: Sql,
  bytes: bigint,
  limits: { readonly tenantBytes: number; readonly userBytes: number },
): PendingQuery<{ exceeded: 'TENANT' | 'USER' | null }[]> {
  return sql<{ exceeded: 'TENANT' | 'USER' | null }[]>`
    select reserve_storage(${bytes}, ${limits.tenantBytes}::bigint, ${limits.userBytes}::bigint) as exceeded
  `;
}

export type NewUpload = {
  readonly id: bigint;
  readonly channelId: bigint;
  readonly fileName: string;
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
       upload_state, part_sha256, urls_expire_at, created_at, updated_at)
    values
      (${upload.id}, ${upload.channelId}, ${tenantId}, ${userId}, ${upload.fileName}, ${upload.fileSize},
       ${upload.fileType}, ${upload.fileExtension}, ${upload.bucket}, ${upload.key},
       ${`s3://${upload.bucket}/${upload.key}`}, 'UPLOADING', ${sql.array([...upload.partSha256], 1001)},
       now_ms() + ${upload.urlMs}::bigint, now_ms(), now_ms())
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
        (select string_agg(a.file_name, ' ' order by a.position) from attachments a where a.message_id = m.id), ''
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

/** What a list of files is restricted to: a prefix of the type, or all types but images, videos and audio. */
export type ListFilter = {
  readonly channelId: bigint;
  readonly uploaderId: bigint;
  readonly typePrefix: string | undefined;
  readonly isOther: boolean;
};

/** Files of a channel's messages, newest first. One row without file when there are none, no row without membership. */
export function listAttachments(
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

export type ScanResult = {
  readonly status: 'CLEAN' | 'INFECTED' | 'ERROR';
  readonly key: string;
  readonly location: string;
  readonly inlineSafe: boolean;
  readonly thumbnailUrl: string | null;
  readonly width: number | null;
  readonly height: number | null;
  readonly preview: Buffer | null;
};

/** Stores the result of a scan; no row if the file was removed, or another scan has ended before. */
export function endScan(
  sql: Sql,
  tenantId: bigint,
  attachmentId: bigint,
  result: ScanResult,
): PendingQuery<AttachmentRow[]> {
  return sql<AttachmentRow[]>`
    update attachments a
    set
      scan_status = ${result.status},
      scanned_at = now_ms(),
      s3_key = ${result.key},
      s3_url = ${result.location},
      inline_safe = ${result.inlineSafe},
      thumbnail_url = ${result.thumbnailUrl},
      width = ${result.width},
      height = ${result.height},
      preview = ${result.preview},
      version = a.version + 1,
      updated_at = now_ms()
    where a.id = ${attachmentId}
      and a.tenant_id = ${tenantId}
      and a.scan_status = 'PENDING'
    returning ${attachmentColumns(sql)}
  `;
}

/** Queues the object of a file for deletion, before the file gets another object. */
export function queueObjectDeletion(sql: Sql, attachmentId: bigint): PendingQuery<object[]> {
  return sql`select queue_object_deletion(${attachmentId})`;
}

/** The owners and admins of a channel. */
export function listAdmins(
  sql: Sql,
  tenantId: bigint,
  channelId: bigint,
): PendingQuery<{ userId: bigint }[]> {
  return sql<{ userId: bigint }[]>`
    select m.user_id
    from channel_members m
    where m.channel_id = ${channelId}
      and m.tenant_id = ${tenantId}
      and m.role in ('ADMIN', 'OWNER')
      and is_member_status(m.status)
  `;
}
