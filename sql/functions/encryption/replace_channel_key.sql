create or replace function replace_channel_key(_old_id bigint, _id bigint, _key_id text, _wrapped_key bytea) returns boolean
language plpgsql security definer
set search_path = public, pg_temp
as $$
begin
  update channels c
  set data_key_id = _id
  from channel_keys k
  where k.id = _old_id
    and c.id = k.channel_id
    and c.data_key_id = _old_id;
  if not found then
    return false;
  end if;
  insert into channel_keys (id, tenant_id, channel_id, key_id, wrapped_key, created_at)
  select _id, k.tenant_id, k.channel_id, _key_id, _wrapped_key, now_ms()
  from channel_keys k
  where k.id = _old_id;
  update channel_keys k set retired_at = now_ms() where k.id = _old_id;
  return true;
end
$$;
comment on function replace_channel_key(bigint, bigint, text, bytea) is
  'Encrypts new messages of a channel with another data key. Messages that were encrypted with the old one and not posted yet are rejected with KEY_CHANGED. False if the channel already has another key.';

alter function replace_channel_key(bigint, bigint, text, bytea) owner to discuss_system;
revoke all on function replace_channel_key(bigint, bigint, text, bytea) from public;
grant execute on function replace_channel_key(bigint, bigint, text, bytea) to discuss_service;
