create or replace function erase_user_rows(
  _tenant_id bigint,
  _user_id bigint,
  out uploads int,
  out status varchar,
  out status_text varchar,
  out expires_at bigint,
  out updated_at bigint
)
language plpgsql security definer
set search_path = public, pg_temp
as $$
begin
  delete from attachments a
  where a.tenant_id = _tenant_id
    and a.uploader_id = _user_id
    and a.message_id is null;
  get diagnostics uploads = row_count;
  update channel_members m
  set metadata = null
  where m.tenant_id = _tenant_id
    and m.user_id = _user_id
    and m.channel_id = any (array(select c.channel_id from list_member_channels(_tenant_id, _user_id, 0, 1000000) as c))
    and m.metadata is not null;
  delete from idempotency_keys k
  where k.tenant_id = _tenant_id
    and k.user_id = _user_id;
  update user_statuses s
  set status = 'ONLINE',
      status_text = '',
      expires_at = null,
      updated_at = greatest(now_ms(), s.updated_at + 1)
  where s.tenant_id = _tenant_id
    and s.user_id = _user_id
  returning s.status, s.status_text, s.expires_at, s.updated_at
  into status, status_text, expires_at, updated_at;
end
$$;
comment on function erase_user_rows(bigint, bigint) is
  'Removes what is left of a user besides messages and activities: uploads that were not sent, settings of channels, request ids, and the status, which is returned as it is then (null if there was none).';

alter function erase_user_rows(bigint, bigint) owner to discuss_system;
revoke all on function erase_user_rows(bigint, bigint) from public;
grant execute on function erase_user_rows(bigint, bigint) to discuss_service;
