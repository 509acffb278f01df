create or replace function export_user(_tenant_id bigint, _user_id bigint)
returns table (line text, files text)
language sql stable security definer
set search_path = public, pg_temp
begin atomic
  select
    jsonb_strip_nulls(jsonb_build_object(
      'kind', 'user', 'userId', u.id::text, 'status', s.status, 'statusText', s.status_text,
      'statusExpireTime', export_time(s.expires_at)
    ))::text,
    export_files(_tenant_id, null, _user_id)
  from (select _user_id as id) as u
  left join user_statuses s on s.tenant_id = _tenant_id and s.user_id = u.id;
end;
comment on function export_user(bigint, bigint) is
  'The first line of a user for ExportUser, with the files that were uploaded and not sent. Checks no rights.';

alter function export_user(bigint, bigint) owner to discuss_system;
revoke all on function export_user(bigint, bigint) from public;
grant execute on function export_user(bigint, bigint) to discuss_service;
