create or replace function list_changed_channels(_from xid8, _to xid8)
returns table (channel_id bigint, head bigint, joins bytea[])
language sql stable security definer
set search_path = public, pg_temp
begin atomic
  select
    e.channel_id,
    max(e.seq),
    coalesce(array_agg(e.payload order by e.seq) filter (where e.kind = 'MEMBERS_JOINED'), '{}')
  from channel_events e
  where e.xid >= _from and e.xid < _to
  group by e.channel_id;
end;
comment on function list_changed_channels(xid8, xid8) is
  'Channels with events from transactions in [_from, _to): the highest seq of each, and its MEMBERS_JOINED events. With both ends taken from pg_snapshot_xmin, consecutive calls miss no event.';

alter function list_changed_channels(xid8, xid8) owner to discuss_system;
revoke all on function list_changed_channels(xid8, xid8) from public;
grant execute on function list_changed_channels(xid8, xid8) to discuss_service;
