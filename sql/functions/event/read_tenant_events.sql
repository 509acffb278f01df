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
-- Only a scan in index order keeps a page cheap. A plan cached while the log was small would sort the whole log.
set enable_seqscan = off
set jit = off
set enable_bitmapscan = off
set enable_sort = off
as $$
#variable_conflict use_column
declare
  -- All transactions below it have ended, so no further event can appear before it.
  _horizon constant xid8 := pg_snapshot_xmin(pg_current_snapshot());
  _after constant xid8 := _xid::text::xid8;
  -- A reader of few tenants or kinds skips the other events in bounded steps.
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

  -- Read after the events, so that it reflects days that were dropped meanwhile.
  select f.* into strict _feed from event_log_state f;
  select f.floor_xid, f.floor_id
  into _feed.floor_xid, _feed.floor_id
  from (
    select _feed.floor_xid, _feed.floor_id
    union all
    select f.floor_xid, f.floor_id
    from event_log_floors f
    where _tenants is null or f.tenant_id = any(_tenants)
  ) as f(floor_xid, floor_id)
  order by f.floor_xid desc, f.floor_id desc
  limit 1;
  tenant_id := null;
  payload := null;
  epoch := _feed.epoch;
  -- The start of the log can be above the horizon, while an older transaction of any database is running.
  if _epoch != _feed.epoch or _after > greatest(_horizon, _feed.floor_xid) then
    lost := 'HISTORY_CHANGED';
  elsif (_after, _id) < (_feed.floor_xid, _feed.floor_id) then
    lost := 'EXPIRED';
  end if;
  if lost is not null then
    xid := _feed.floor_xid::text::bigint;
    id := _feed.floor_id;
  elsif not _full and _scanned < _scan then
    select p.at_xid::text::bigint, p.at_id
    into xid, id
    from (values (_horizon, 0::bigint), (_feed.floor_xid, _feed.floor_id)) as p(at_xid, at_id)
    order by p.at_xid desc, p.at_id desc
    limit 1;
    held_ms := coalesce(
      (
        select greatest(now_ms() - e.created_at, 0)
        from channel_events e
        where e.xid >= _horizon
        order by e.xid, e.id
        limit 1
      ),
      0
    );
  end if;
  return next;
end
$$;
comment on function read_tenant_events(bigint, bigint, bigint, bigint[], text[], int, int) is
  'Events of all channels after (_xid, _id), in the order (xid, id), up to the oldest running transaction: those of some tenants and kinds, or of all if null; at most _limit events, and as soon as they exceed _bytes no more. The last row has no payload and states how far the log was read. In that row, lost is EXPIRED if the cursor has missed dropped events and HISTORY_CHANGED if it belongs to another log or epoch, and the position is then the start of the log; held_ms is null unless the end of the log was reached, and how long a committed event has waited for an older transaction. Without _xid only that row is returned. Checks no rights.';

alter function read_tenant_events(bigint, bigint, bigint, bigint[], text[], int, int) owner to discuss_system;
revoke all on function read_tenant_events(bigint, bigint, bigint, bigint[], text[], int, int) from public;
grant execute on function read_tenant_events(bigint, bigint, bigint, bigint[], text[], int, int) to discuss_service;
