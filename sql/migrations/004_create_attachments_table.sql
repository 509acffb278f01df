create table attachments (
  id bigserial primary key,

  message_id bigint,
  channel_id bigint not null,
  tenant_id bigint not null,

  file_name varchar(255) not null,
  file_size bigint not null,
  file_type varchar(100),
  file_extension varchar(20),

  s3_bucket varchar(255),
  s3_key varchar(500) not null,
  s3_url text not null,

  thumbnail_url text,
  width int,
  height int,

  scan_status varchar(50) not null default 'PENDING',
  scanned_at bigint,

  metadata jsonb,

  created_at bigint not null,
  updated_at bigint not null,

  uploader_id bigint not null default 0,
  position smallint not null default 0,
  version int not null default 1,
  upload_state varchar(20) not null default 'UPLOADED',
  upload_id text,
  part_sha256 bytea[] not null default '{}',
  urls_expire_at bigint not null default 0,
  preview bytea,
  inline_safe boolean not null default false,
  scan_attempts int not null default 0,
  scan_interruptions int not null default 0,
  next_scan_at bigint not null default 0,
  encrypted_name bytea,

  constraint valid_upload_state check (upload_state in ('UPLOADING', 'UPLOADED')),
  constraint valid_scan_status check (scan_status = any ('{PENDING,CLEAN,INFECTED,ERROR}'::text[])),
  constraint positive_file_size check (file_size > 0)
);

comment on table attachments is 'Files of messages, and uploads that were not sent yet. The bytes are in S3.';
comment on column attachments.id is 'Id of the attachment.';
comment on column attachments.message_id is 'Message the file belongs to; null until it is sent. Only its uploader sees it until then.';
comment on column attachments.channel_id is 'Channel the file was uploaded for, which is that of its message.';
comment on column attachments.tenant_id is 'Tenant of the channel.';
comment on column attachments.file_name is 'File name without folders and control characters.';
comment on column attachments.file_size is 'Size in bytes.';
comment on column attachments.file_type is 'MIME type, detected from the bytes once they are uploaded.';
comment on column attachments.file_extension is 'Extension of the file name, without the dot.';
comment on column attachments.s3_bucket is 'Bucket; null means the configured one.';
comment on column attachments.s3_key is 'Object key in the bucket.';
comment on column attachments.s3_url is 'Location of the object, s3://bucket/key. Clients get a URL that is signed for each request.';
comment on column attachments.thumbnail_url is 'Location of the preview of an image, s3://bucket/key.';
comment on column attachments.width is 'Width of an image or video, pixels.';
comment on column attachments.height is 'Height of an image or video, pixels.';
comment on column attachments.scan_status is 'PENDING, CLEAN, INFECTED or ERROR; only CLEAN files can be downloaded.';
comment on column attachments.scanned_at is 'When the scan result arrived, epoch ms.';
comment on column attachments.metadata is 'Data of the file type: duration_ms of audio and video that state it.';
comment on column attachments.created_at is 'When the upload started, epoch ms.';
comment on column attachments.updated_at is 'When the row last changed, epoch ms.';
comment on column attachments.uploader_id is 'User who uploaded the file; 0 if unknown.';
comment on column attachments.position is 'Position of the file in its message, from 0.';
comment on column attachments.version is
  'Incremented by each change that responses contain. A message is sent with the version that its event describes.';
comment on column attachments.upload_state is 'UPLOADING until CompleteUpload, then UPLOADED.';
comment on column attachments.upload_id is 'Multipart upload of the store; null for a file of one part.';
comment on column attachments.part_sha256 is 'SHA-256 of each part of 16 MiB, as declared before the upload.';
comment on column attachments.urls_expire_at is
  'When the last URL for uploading expires, epoch ms. The object can be written until then.';
comment on column attachments.inline_safe is
  'Whether the scan found no HTML in the file, so that a browser may display it. Also requires a type that is safe.';
comment on column attachments.scan_attempts is 'Scans that were begun, without interruptions and those that the scanner or the store made impossible.';
comment on column attachments.scan_interruptions is 'Scans in which the scanner closed the connection without a result.';
comment on column attachments.next_scan_at is 'Time from which the file may be scanned by the next claim, epoch ms.';
comment on column attachments.encrypted_name is
  'File name in an encrypted channel; file_name is then a constant. Null in other channels.';
comment on column attachments.preview is 'WebP image of at most 16 by 16 pixels.';

-- Concurrent uploads of a tenant wait for its row, so that they cannot exceed a limit together.
create table storage_usage (
  tenant_id bigint not null,
  user_id bigint not null,

  bytes bigint not null,
  files bigint not null,

  primary key (tenant_id, user_id)
);

comment on table storage_usage is
  'Size of the files of each tenant (user_id 0) and of each of its users, uploads included. Maintained by reserve_storage() and release_storage().';
comment on column storage_usage.tenant_id is 'Tenant of the files.';
comment on column storage_usage.user_id is 'Uploader; 0 for all users of the tenant.';
comment on column storage_usage.bytes is 'Size of the files in bytes.';
comment on column storage_usage.files is 'Number of files.';

-- Not deleted with the rows of attachments: an object must be deleted after the commit, and also after a crash.
create table object_deletions (
  id bigserial primary key,

  tenant_id bigint not null,
  s3_bucket varchar(255),
  s3_key varchar(500) not null,
  upload_id text,
  due_at bigint not null,
  attempts int not null default 0,
  created_at bigint not null
);

comment on table object_deletions is
  'Objects to be deleted from S3. A row remains until the store has confirmed the deletion.';
comment on column object_deletions.id is 'Order of insertion.';
comment on column object_deletions.tenant_id is 'Tenant of the object.';
comment on column object_deletions.s3_bucket is 'Bucket; null means the configured one.';
comment on column object_deletions.s3_key is 'Object key in the bucket.';
comment on column object_deletions.upload_id is 'Multipart upload to abort; null if there is none.';
comment on column object_deletions.due_at is
  'Time of the next attempt, epoch ms. Not before the URLs for uploading the object have expired, which could write it again.';
comment on column object_deletions.attempts is 'Attempts made.';
comment on column object_deletions.created_at is 'When the object became unused, epoch ms.';
