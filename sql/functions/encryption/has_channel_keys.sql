create or replace function has_channel_keys() returns boolean
language sql stable security definer
set search_path = public, pg_temp
begin atomic
  select exists (select from channel_keys);
end;
comment on function has_channel_keys() is 'Whether any channel is encrypted.';

alter function has_channel_keys() owner to discuss_system;
revoke all on function has_channel_keys() from public;
grant execute on function has_channel_keys() to discuss_service;
