create or replace function add_channel_key(_id bigint, _channel_id bigint, _key_id text, _wrapped_key bytea)
returns boolean
language plpgsql security definer
set search_path = public, pg_temp
as $$
begin
  update channels c
  set data_key_id = _id,
      encrypted_at = now_ms(),
      updated_at = greatest(c.updated_at, now_ms())
  where c.id = _channel_id
    and c.tenant_id = app_tenant_id()
    and c.data_key_id is null
    -- The creator encrypts a new channel before it has members.
    and (app_is_service() or app_is_member(c.id) or c.created_by = app_user_id());
  if not found then
    return false;
  end if;
  insert into channel_keys (id, tenant_id, channel_id, key_id, wrapped_key, created_at)
  values (_id, app_tenant_id(), _channel_id, _key_id, _wrapped_key, now_ms());
  return true;
end
$$;
comment on function add_channel_key(bigint, bigint, text, bytea) is
  'Encrypts a channel of the caller''s tenant from now on, with a data key that the caller has created. False if it is encrypted. The caller must check rights and lock the channel before.';

alter function add_channel_key(bigint, bigint, text, bytea) owner to discuss_system;
revoke all on function add_channel_key(bigint, bigint, text, bytea) from public;
grant execute on function add_channel_key(bigint, bigint, text, bytea) to discuss_service;
