create or replace function find_channel_keys(_ids bigint[])
returns table (id bigint, tenant_id bigint, channel_id bigint, key_id text, wrapped_key bytea)
language sql stable security definer
set search_path = public, pg_temp
begin atomic
  select k.id, k.tenant_id, k.channel_id, k.key_id, k.wrapped_key
  from channel_keys k
  where k.id = any (_ids);
end;
comment on function find_channel_keys(bigint[]) is
  'Encrypted data keys by their ids, of any tenant: streams deliver the events of all tenants.';

alter function find_channel_keys(bigint[]) owner to discuss_system;
revoke all on function find_channel_keys(bigint[]) from public;
grant execute on function find_channel_keys(bigint[]) to discuss_service;
