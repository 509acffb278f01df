create or replace function export_files(_tenant_id bigint, _message_id bigint, _uploader_id bigint) returns text
language sql stable
set search_path = public, pg_temp
begin atomic
  select
    jsonb_agg(
      jsonb_build_object(
        'id', a.id::text, 'messageId', coalesce(a.message_id, 0)::text, 'channelId', a.channel_id::text, 'fileName', a.file_name,
        'byteCount', a.file_size::text, 'contentType', coalesce(a.file_type, ''), 'location', a.s3_url
      )
      order by a.position, a.id
    )::text
  from attachments a
  where a.tenant_id = _tenant_id
    and (a.message_id = _message_id or (_message_id is null and a.message_id is null and a.uploader_id = _uploader_id));
end;
comment on function export_files(bigint, bigint, bigint) is
  'Files of a message, or with null those that a user uploaded and did not send, as JSON of ExportedFile; null without any.';

revoke all on function export_files(bigint, bigint, bigint) from public;
grant execute on function export_files(bigint, bigint, bigint) to discuss_system;
