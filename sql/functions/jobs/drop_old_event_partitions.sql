create or replace function drop_old_event_partitions(_days int, _now_ms bigint default null) returns setof text
language plpgsql security definer
set search_path = public, pg_temp
set lock_timeout = '250ms'
as $$
declare
  _day constant bigint := 86400000;
  -- The period of all tenants, or a longer one of a rule.
  _longest constant int := greatest(_days, (select max(r.log_days) from retention_rules r));
  -- Not as the default of the argument, which is computed with the rights of the caller.
  _first_kept bigint := (coalesce(_now_ms, retention_now()) / _day - _longest) * _day;
  _raise_floor constant text := $raise$
    update event_log_state f
    set floor_xid = e.xid, floor_id = e.id
    from (select xid, id from %I where created_at < %s order by xid desc, id desc limit 1) as e
    where (e.xid, e.id) > (f.floor_xid, f.floor_id)
  $raise$;
  _name text;
begin
  if _days < 1 then
    raise exception 'the log must be kept for at least one day, not %', _days using errcode = 'invalid_parameter_value';
  end if;
  perform pg_advisory_xact_lock_shared(hashtext('discuss.holds'));
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
      perform keep_held_events(_name, _first_kept);
      execute format(_raise_floor, _name, _first_kept);
      execute format('drop table %I', _name);
      return next _name;
    exception
      when lock_not_available or deadlock_detected then
        raise warning 'postponed dropping % and later partitions: %', _name, sqlerrm;
        exit;
    end;
  end loop;

  perform keep_held_events('channel_events_default', _first_kept);
  execute format(_raise_floor, 'channel_events_default', _first_kept);
  delete from channel_events_default where created_at < _first_kept;
end
$$;
comment on function drop_old_event_partitions(int, bigint) is
  'Drops the days of the log that ended at least _days full days ago, or as many as the longest period of a rule, and records in event_log_state the last dropped event. Events that a legal hold concerns are copied to held_events first. Returns the dropped partitions, and warns of those that it had to postpone because the table was busy.';

revoke all on function drop_old_event_partitions(int, bigint) from public;
grant execute on function drop_old_event_partitions(int, bigint) to discuss_service;
