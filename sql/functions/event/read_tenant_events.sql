create or replace function read_tenant_events(
  _epoch bigint,
  _xid bigint,
  _id bigint,
  _tenants bigint[],
  _kinds text[],
  _limit int,
  _bytes int
)
returns table (
  tenant_id bigint,
  xid bigint,
  id bigint,
  payload bytea,
  epoch bigint,
  lost text,
  held_ms bigint
)
language plpgsql volatile security definer
set search_path = public, pg_temp
-- The order of the index is what keeps a page short. A plan that is kept from the day the log was small would
-- sort all of it for as long as it is cached.
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $$
#variable_conflict use_column
declare
  -- Transactions below it have ended: no event can appear among theirs any more.
  _horizon constant xid8 := pg_snapshot_xmin(pg_current_snapshot());
  _after constant xid8 := _xid::text::xid8;
  -- Whoever wants little of the log reads past the rest in steps that end.
  _scan constant int := 10 * _limit;
  _scanned int := 0;
  _full boolean := false;
  _event record;
  _feed event_log_state;
begin
  if _after is not null then
    for _event in
      select e.tenant_id, e.kind, e.xid, e.id, e.payload
      from channel_events e
      where (e.xid, e.id) > (_after, _id)
        and e.xid < _horizon
      order by e.xid, e.id
      limit _scan
    loop
      _scanned := _scanned + 1;
      xid := _event.xid::text::bigint;
      id := _event.id;
      if (_tenants is null or _event.tenant_id = any(_tenants)) and (_kinds is null or _event.kind = any(_kinds)) then
        tenant_id := _event.tenant_id;
        payload := _event.payload;
        return next;
        _limit := _limit - 1;
        _bytes := _bytes - octet_length(payload);
        _full := _limit <= 0 or _bytes <= 0;
      end if;
      exit when _full;
    end loop;
  end if;

  -- After the events: where days were dropped meanwhile, this sees it.
  select f.* into strict _feed from event_log_state f;
  tenant_id := null;
  payload := null;
  epoch := _feed.epoch;
  if _epoch != _feed.epoch or _after > _horizon then
    lost := 'UNKNOWN';
  elsif (_after, _id) < (_feed.floor_xid, _feed.floor_id) then
    lost := 'EXPIRED';
  end if;
  if lost is not null then
    xid := _feed.floor_xid::text::bigint;
    id := _feed.floor_id;
  elsif not _full and _scanned < _scan then
    xid := _horizon::text::bigint;
    id := 0;
    held_ms := (
      select greatest(now_ms() - e.created_at, 0)
      from channel_events e
      where e.xid >= _horizon
      order by e.xid, e.id
      limit 1
    );
  end if;
  return next;
end
$$;
comment on function read_tenant_events(bigint, bigint, bigint, bigint[], text[], int, int) is
  'Events of all channels after (_xid, _id), in the order (xid, id) and up to where every transaction has ended: those of some tenants and kinds, or of all where null is given; at most _limit of them, or somewhat over _bytes. A last row without payload says how far the log was read, with id 0 when to its end. There, lost says that a cursor of _epoch missed events (EXPIRED) or is of another log (UNKNOWN), and the place is where the log begins; held_ms, for how long a committed event has been waiting for an older transaction. Without _xid nothing is read. Checks no rights: who calls it does.';

alter function read_tenant_events(bigint, bigint, bigint, bigint[], text[], int, int) owner to discuss_system;
revoke all on function read_tenant_events(bigint, bigint, bigint, bigint[], text[], int, int) from public;
grant execute on function read_tenant_events(bigint, bigint, bigint, bigint[], text[], int, int) to discuss_service;
