create or replace function export_held_events(_tenant_id bigint, _channel_id bigint, _after bigint, _limit int)
returns table (key bigint, payload bytea)
language sql stable security definer
set search_path = public, pg_temp
begin atomic
  select e.seq, e.payload
  from held_events e
  where e.tenant_id = _tenant_id
    and e.channel_id = _channel_id
    and e.seq > _after
  order by e.seq
  limit _limit;
end;
comment on function export_held_events(bigint, bigint, bigint, int) is
  'Events of a channel that a legal hold keeps after their day was dropped, after a seq, for ExportChannel. Checks no rights.';

alter function export_held_events(bigint, bigint, bigint, int) owner to discuss_system;
revoke all on function export_held_events(bigint, bigint, bigint, int) from public;
grant execute on function export_held_events(bigint, bigint, bigint, int) to discuss_service;
