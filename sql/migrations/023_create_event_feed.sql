-- In the order of xids alone, events of one channel could change places: a transaction that posts in two channels
-- has its xid from the first one's lock, and may get the second one's after a younger transaction. What had ended
-- when the channel was locked comes before.
alter table channel_events
  alter column xid set default greatest(
    pg_current_xact_id(),
    (pg_snapshot_xmax(pg_current_snapshot())::text::bigint - 1)::text::xid8
  );
comment on column channel_events.xid is
  'The transaction that wrote it, or the youngest that had ended by then, if that is younger. Below pg_snapshot_xmin() nothing can appear any more, so (xid, id) is a cursor without gaps; and in a channel it is the order of seq.';
comment on column channel_events.id is 'Order of insertion over all channels; says something only among equal xids.';

create table event_feed (
  tenant_id bigint not null default 0,
  epoch bigint not null,
  floor_xid xid8 not null default '0',
  floor_id bigint not null default 0,

  primary key (tenant_id),
  constraint event_feed_of_all check (tenant_id = 0)
);
comment on table event_feed is
  'One row: what cursors into the log of all tenants are held against, see read_event_feed().';
comment on column event_feed.tenant_id is '0: the feed is of all tenants.';
comment on column event_feed.epoch is
  'Cursors given out under another epoch mean nothing; restart_event_feed() begins a new one.';
comment on column event_feed.floor_xid is
  'With floor_id, the last event in the order (xid, id) that was dropped from the log: cursors before it missed something.';
comment on column event_feed.floor_id is 'See floor_xid.';

alter table event_feed enable row level security;
alter table event_feed force row level security;
create policy system_policy on event_feed to discuss_system using (true) with check (true);
grant select, insert, update, delete on event_feed to discuss_system;
-- Without a policy it shows the service nothing.
grant select on event_feed to discuss_service;

insert into event_feed (epoch) values ((random() * 9007199254740991)::bigint);

create function read_event_feed(
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
  _feed event_feed;
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
  select f.* into strict _feed from event_feed f;
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
comment on function read_event_feed(bigint, bigint, bigint, bigint[], text[], int, int) is
  'Events of all channels after (_xid, _id), in the order (xid, id) and up to where every transaction has ended: those of some tenants and kinds, or of all where null is given; at most _limit of them, or somewhat over _bytes. A last row without payload says how far the log was read, with id 0 when to its end. There, lost says that a cursor of _epoch missed events (EXPIRED) or is of another log (UNKNOWN), and the place is where the log begins; held_ms, for how long a committed event has been waiting for an older transaction. Without _xid nothing is read. Checks no rights: who calls it does.';

create function restart_event_feed() returns void
language plpgsql security definer
set search_path = public, pg_temp
as $$
begin
  update event_feed set epoch = epoch + 1 + (random() * 1000000000)::bigint;
  -- Where a dump was restored, transactions are numbered anew, and these would be waited for.
  update channel_events set xid = pg_current_xact_id() where xid > pg_current_xact_id();
end
$$;
comment on function restart_event_feed() is
  'To be called by the owner after the database was restored from a backup: cursors of StreamTenantEvents from before may be of events that are no more, so their holders are told to read anew.';

create or replace function drop_old_event_partitions(p_days int, p_now_ms bigint default now_ms()) returns setof text
language plpgsql security definer
set search_path = public, pg_temp
set lock_timeout = '250ms'
as $$
declare
  _day constant bigint := 86400000;
  _first_kept bigint := (p_now_ms / _day - p_days) * _day;
  _raise_floor constant text := $raise$
    update event_feed f
    set floor_xid = e.xid, floor_id = e.id
    from (select xid, id from %I where created_at < %s order by xid desc, id desc limit 1) as e
    where (e.xid, e.id) > (f.floor_xid, f.floor_id)
  $raise$;
  _name text;
begin
  if p_days < 1 then
    raise exception 'the log must be kept for a day at least, not %', p_days using errcode = 'invalid_parameter_value';
  end if;
  perform pg_advisory_xact_lock(hashtext('discuss.ensure_partitions'));

  for _name in
    select c.relname
    from pg_inherits i
    join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'channel_events'::regclass
      and c.relname ~ '^channel_events_[0-9]{8}$'
      and to_date(right(c.relname, 8), 'YYYYMMDD') < (to_timestamp(_first_kept / 1000) at time zone 'UTC')::date
    order by c.relname
  loop
    begin
      execute format(_raise_floor, _name, _first_kept);
      execute format('drop table %I', _name);
      return next _name;
    exception
      when lock_not_available or deadlock_detected then
        raise warning 'dropping % and the rest is put off: %', _name, sqlerrm;
        exit;
    end;
  end loop;

  execute format(_raise_floor, 'channel_events_default', _first_kept);
  delete from channel_events_default where created_at < _first_kept;
end
$$;
comment on function drop_old_event_partitions(int, bigint) is
  'Drops the days of the log that ended p_days full days ago or earlier, and notes in event_feed how far it reached in the order of the feed; returns what it dropped, warns of what it had to put off.';

do $$
declare
  _function text;
begin
  foreach _function in array array[
    'read_event_feed(bigint, bigint, bigint, bigint[], text[], int, int)', 'restart_event_feed()'
  ] loop
    execute format('alter function %s owner to discuss_system', _function);
    execute format('revoke all on function %s from public', _function);
  end loop;
end
$$;
grant execute on function read_event_feed(bigint, bigint, bigint, bigint[], text[], int, int) to discuss_service;
