-- Owned by the owner of the tables, because only the owner can drop a table.
create or replace function purge_activities(_age_ms bigint, _limit int) returns int
language plpgsql security definer
set search_path = public, pg_temp
set lock_timeout = '250ms'
as $$
declare
  _before constant bigint := now_ms() - _age_ms;
  _month constant timestamp := date_trunc('month', to_timestamp(_before / 1000.0) at time zone 'UTC');
  -- Rows before it are in months that are dropped as a whole, or in the default partition.
  _month_start constant bigint := extract(epoch from _month at time zone 'UTC')::bigint * 1000;
  _name text;
  _purged int;
begin
  for _name in
    select c.relname
    from pg_inherits i
    join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'activity_feed'::regclass
      and c.relname ~ '^activity_feed_[0-9]{4}_[0-9]{2}$'
      and to_date(right(c.relname, 7), 'YYYY_MM') < _month
    order by c.relname
  loop
    begin
      execute format('select count(*) from %I', _name) into _purged;
      execute format('drop table %I', _name);
      -- One for each call, so that the lock of the table is held for a moment only.
      if _purged > 0 then
        return _purged;
      end if;
    exception
      when lock_not_available or deadlock_detected then
        raise warning 'postponed dropping %: %', _name, sqlerrm;
        exit;
    end;
  end loop;

  delete from activity_feed a
  where (a.id, a."timestamp") in (
    select d.id, d."timestamp"
    from activity_feed d
    where d."timestamp" >= _month_start
      and d."timestamp" < _before
    limit _limit
  );
  get diagnostics _purged = row_count;
  if _purged = 0 then
    delete from activity_feed_default a
    where (a.id, a."timestamp") in (
      select d.id, d."timestamp" from activity_feed_default d where d."timestamp" < _month_start limit _limit
    );
    get diagnostics _purged = row_count;
  end if;
  return _purged;
end
$$;
comment on function purge_activities(bigint, int) is
  'Removes activities older than _age_ms and returns how many: all of one month by dropping its partition if all of it is older, otherwise at most _limit rows. A month that is locked is left for the next run.';

revoke all on function purge_activities(bigint, int) from public;
grant execute on function purge_activities(bigint, int) to discuss_service;
