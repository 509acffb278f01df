-- Owned by the owner of the tables, because only the owner can drop a table.
create or replace function purge_activities(_age_ms bigint, _limit int) returns int
language plpgsql security definer
set search_path = public, pg_temp
set lock_timeout = '250ms'
as $$
declare
  _before constant bigint := now_ms() - _age_ms;
  _name text;
  _rows int;
  _purged int;
begin
  delete from activity_feed a
  where (a.id, a."timestamp") in (
    select d.id, d."timestamp" from activity_feed d where d."timestamp" < _before limit _limit
  );
  get diagnostics _purged = row_count;
  if _purged > 0 then
    return _purged;
  end if;

  -- Partitions of past months, empty by now.
  for _name in
    select c.relname
    from pg_inherits i
    join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'activity_feed'::regclass
      and c.relname ~ '^activity_feed_[0-9]{4}_[0-9]{2}$'
      and to_date(right(c.relname, 7), 'YYYY_MM') + interval '1 month'
        <= (to_timestamp(_before / 1000) at time zone 'UTC')
    order by c.relname
  loop
    begin
      execute format('select count(*) from (select 1 from %I limit 1) as x', _name) into _rows;
      if _rows = 0 then
        execute format('drop table %I', _name);
      end if;
    exception
      when lock_not_available or deadlock_detected then
        raise warning 'postponed dropping %: %', _name, sqlerrm;
        exit;
    end;
  end loop;
  return 0;
end
$$;
comment on function purge_activities(bigint, int) is
  'Removes at most _limit activities older than _age_ms and returns how many. If there are none, drops the partitions of past months.';

revoke all on function purge_activities(bigint, int) from public;
grant execute on function purge_activities(bigint, int) to discuss_service;
