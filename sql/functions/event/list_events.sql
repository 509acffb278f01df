create or replace function list_events(_channel_id bigint, _after bigint, _limit int)
returns table (channel_id bigint, seq bigint, payload bytea)
language sql stable security definer
set search_path = public, pg_temp
begin atomic
  select e.channel_id, e.seq, e.payload
  from channel_events e
  where e.channel_id = _channel_id and e.seq > _after
  order by e.seq
  limit _limit;
end;
comment on function list_events(bigint, bigint, int) is
  'Events of a channel after a seq, in order. Checks no rights: the hub checks which subscribers may receive them.';

alter function list_events(bigint, bigint, int) owner to discuss_system;
revoke all on function list_events(bigint, bigint, int) from public;
grant execute on function list_events(bigint, bigint, int) to discuss_service;
