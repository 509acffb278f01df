create or replace function message_attachments(_message_id bigint) returns text
language plpgsql stable security definer
set search_path = public, pg_temp
as $$
begin
  return (
    select json_agg(
      json_build_object(
        'id', a.id, 'channel', a.channel_id, 'uploader', a.uploader_id, 'name', a.file_name, 'size', a.file_size,
        'type', a.file_type, 'scan', a.scan_status, 'width', a.width, 'height', a.height,
        'preview', encode(a.preview, 'base64'), 'thumbnail', a.thumbnail_url is not null, 'created', a.created_at,
        'duration_ms', (a.metadata ->> 'duration_ms')::bigint, 'encrypted_name', encode(a.encrypted_name, 'base64')
      )
      order by a.position, a.id
    )::text
    from attachments a
    where a.message_id = _message_id
      and a.tenant_id = app_tenant_id()
      -- The uploader also after the end of the membership: a repeated call returns the message as it was sent.
      and (a.uploader_id = app_user_id() or app_is_service() or app_is_member(a.channel_id))
  );
end
$$;
comment on function message_attachments(bigint) is
  'Files of a message as JSON, in order; null if there are none, or if the caller is neither a member nor the uploader.';

alter function message_attachments(bigint) owner to discuss_system;
revoke all on function message_attachments(bigint) from public;
grant execute on function message_attachments(bigint) to discuss_service;
