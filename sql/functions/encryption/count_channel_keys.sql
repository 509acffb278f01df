create or replace function count_channel_keys() returns table (key_id text, keys bigint)
language sql stable security definer
set search_path = public, pg_temp
begin atomic
  select k.key_id, count(*)
  from channel_keys k
  group by k.key_id
  order by k.key_id
  limit 100;
end;
comment on function count_channel_keys() is 'Number of data keys that each key of the configuration encrypts. For operators.';

alter function count_channel_keys() owner to discuss_system;
revoke all on function count_channel_keys() from public;
grant execute on function count_channel_keys() to discuss_service;
