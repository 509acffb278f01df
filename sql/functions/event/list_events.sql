create or replace function list_events(_channel_id bigint, _after bigint, _limit int, _bytes int)
returns table (channel_id bigint, seq bigint, payload bytea)
language sql stable security definer
set search_path = public, pg_temp
begin atomic
  select e.channel_id, e.seq, e.payload
  from (
    select
      n.*,
      coalesce(sum(octet_length(n.payload)) over (order by n.seq rows between unbounded preceding and 1 preceding), 0) as before
    from (
      select e.channel_id, e.seq, e.payload
      from channel_events e
      where e.channel_id = _channel_id and e.seq > _after
      order by e.seq
      limit _limit
    ) as n
  ) as e
  where e.before < _bytes
  order by e.seq;
end;
comment on function list_events(bigint, bigint, int, int) is
  'Events of a channel after a seq, in order: at most _limit, and as soon as they reach _bytes no more. Checks no rights: the hub checks which subscribers may receive them.';

alter function list_events(bigint, bigint, int, int) owner to discuss_system;
revoke all on function list_events(bigint, bigint, int, int) from public;
grant execute on function list_events(bigint, bigint, int, int) to discuss_service;
