create table attachments (
  id bigserial primary key,

  message_id bigint not null references messages(id) on delete cascade,
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

  constraint valid_scan_status check (
    scan_status in ('PENDING', 'CLEAN', 'INFECTED', 'ERROR')
  ),
  constraint positive_file_size check (file_size > 0)
);

comment on table attachments is 'Files of messages. The bytes are in S3.';
comment on column attachments.id is 'Id of the attachment.';
comment on column attachments.message_id is 'Message the file belongs to.';
comment on column attachments.channel_id is 'Channel of that message.';
comment on column attachments.tenant_id is 'Tenant of the channel.';
comment on column attachments.file_name is 'File name as uploaded.';
comment on column attachments.file_size is 'Size in bytes.';
comment on column attachments.file_type is 'MIME type.';
comment on column attachments.file_extension is 'Extension of the file name, without the dot.';
comment on column attachments.s3_bucket is 'Bucket; null means the configured one.';
comment on column attachments.s3_key is 'Object key in the bucket.';
comment on column attachments.s3_url is 'Location of the object. Clients get a URL that is signed for each request.';
comment on column attachments.thumbnail_url is 'Preview of an image or video.';
comment on column attachments.width is 'Width of an image or video, pixels.';
comment on column attachments.height is 'Height of an image or video, pixels.';
comment on column attachments.scan_status is 'PENDING, CLEAN, INFECTED or ERROR; only CLEAN files can be downloaded.';
comment on column attachments.scanned_at is 'When the scan result arrived, epoch ms.';
comment on column attachments.metadata is 'Data of the file type, such as duration and codec of a video.';
comment on column attachments.created_at is 'When the upload started, epoch ms.';
comment on column attachments.updated_at is 'When the row last changed, epoch ms.';
