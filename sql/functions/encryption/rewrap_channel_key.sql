create or replace function rewrap_channel_key(_id bigint, _old_key bytea, _key_id text, _wrapped_key bytea) returns boolean
language plpgsql security definer
set search_path = public, pg_temp
as $$
begin
  update channel_keys k
  set key_id = _key_id,
      wrapped_key = _wrapped_key
  where k.id = _id
    and k.wrapped_key = _old_key;
  return found;
end
$$;
comment on function rewrap_channel_key(bigint, bytea, text, bytea) is
  'Stores a data key as encrypted with another key. False if it has changed since it was read.';

alter function rewrap_channel_key(bigint, bytea, text, bytea) owner to discuss_system;
revoke all on function rewrap_channel_key(bigint, bytea, text, bytea) from public;
grant execute on function rewrap_channel_key(bigint, bytea, text, bytea) to discuss_service;
