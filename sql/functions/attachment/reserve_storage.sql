create or replace function reserve_storage(_bytes bigint, _tenant_limit bigint, _user_limit bigint) returns text
language plpgsql security definer
set search_path = public, pg_temp
as $$
declare
  _exceeded text;
begin
  -- The row of the tenant first, which concurrent uploads of the tenant lock in turn.
  insert into storage_usage as u (tenant_id, user_id, bytes, files)
  values (app_tenant_id(), 0, _bytes, 1)
  on conflict (tenant_id, user_id) do update set bytes = u.bytes + excluded.bytes, files = u.files + 1;
  insert into storage_usage as u (tenant_id, user_id, bytes, files)
  values (app_tenant_id(), app_user_id(), _bytes, 1)
  on conflict (tenant_id, user_id) do update set bytes = u.bytes + excluded.bytes, files = u.files + 1;
  select case when u.user_id = 0 then 'TENANT' else 'USER' end
  into _exceeded
  from storage_usage u
  where u.tenant_id = app_tenant_id()
    and (
      (u.user_id = 0 and _tenant_limit > 0 and u.bytes > _tenant_limit)
      or (u.user_id = app_user_id() and _user_limit > 0 and u.bytes > _user_limit)
    )
  order by u.user_id
  limit 1;
  return _exceeded;
end
$$;
comment on function reserve_storage(bigint, bigint, bigint) is
  'Adds a file of the caller to the usage of its tenant and user. Returns which limit is exceeded then, TENANT or USER; the caller must roll back. Null if none is. 0 disables a limit.';

alter function reserve_storage(bigint, bigint, bigint) owner to discuss_system;
revoke all on function reserve_storage(bigint, bigint, bigint) from public;
grant execute on function reserve_storage(bigint, bigint, bigint) to discuss_service;
