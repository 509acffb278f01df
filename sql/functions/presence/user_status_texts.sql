create or replace function user_status_texts(_user_ids bigint[])
returns table (user_id bigint, status_text text, expires_at bigint)
language plpgsql stable security definer
set search_path = public, pg_temp
as $$
begin
  return query
  select s.user_id, s.status_text::text, s.expires_at
  from user_statuses s
  where s.tenant_id = app_tenant_id()
    and s.user_id = any(_user_ids)
    and s.status_text != ''
    and (s.expires_at is null or s.expires_at > now_ms());
end
$$;
comment on function user_status_texts(bigint[]) is
  'Unexpired status texts of these users of the caller''s tenant, without their statuses.';

alter function user_status_texts(bigint[]) owner to discuss_system;
revoke all on function user_status_texts(bigint[]) from public;
grant execute on function user_status_texts(bigint[]) to discuss_service;
