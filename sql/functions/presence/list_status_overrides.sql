create or replace function list_status_overrides(_tenant_ids bigint[], _user_ids bigint[])
returns table (tenant_id bigint, user_id bigint, status text, expires_at bigint, updated_at bigint)
language plpgsql stable security definer
set search_path = public, pg_temp
as $$
begin
  return query
  select u.tenant_id, u.user_id, s.status::text, s.expires_at, s.updated_at
  from unnest(_tenant_ids, _user_ids) as u(tenant_id, user_id)
  join user_statuses s on s.tenant_id = u.tenant_id and s.user_id = u.user_id;
end
$$;
comment on function list_status_overrides(bigint[], bigint[]) is
  'Statuses that users of any tenants set, to be copied to Redis when a device of theirs connects.';

alter function list_status_overrides(bigint[], bigint[]) owner to discuss_system;
revoke all on function list_status_overrides(bigint[], bigint[]) from public;
grant execute on function list_status_overrides(bigint[], bigint[]) to discuss_service;
