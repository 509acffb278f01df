create or replace function lock_public_group(_channel_id bigint) returns boolean
language plpgsql security definer
set search_path = public, pg_temp
as $$
begin
  perform 1
  from channels c
  where c.id = _channel_id
    and c.tenant_id = app_tenant_id()
    and c.type = 'GROUP'
    and not c.is_private
    and c.deleted_at is null
  for no key update;
  return found;
end
$$;
comment on function lock_public_group(bigint) is
  'Locks a public group of the caller''s tenant, as every change of a channel does, before the caller joins it: the update policy also applies to locks and requires membership. Returns whether the group exists.';

alter function lock_public_group(bigint) owner to discuss_system;
revoke all on function lock_public_group(bigint) from public;
grant execute on function lock_public_group(bigint) to discuss_service;
