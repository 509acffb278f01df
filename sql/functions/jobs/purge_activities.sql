-- Owned by the owner of the tables, because only the owner can drop a table.
create or replace function purge_activities(_age_ms bigint, _limit int) returns int
language plpgsql security definer
set search_path = public, pg_temp
set lock_timeout = '250ms'
as $$
declare
  _now constant bigint := retention_now();
  _rule constant jsonb := purge_rule('activity', _age_ms);
  _bounds record;
  -- Null if some activities never expire.
  _month timestamp;
  _count_rows constant text := $count$
    select jsonb_agg(to_jsonb(p))
    from (
      select a.tenant_id, count(*) as count, min(a.id)::text as first_id, max(a.id)::text as last_id
      from %I a
      group by a.tenant_id
    ) as p
  $count$;
  _find_held constant text := $find$
    select exists (
      select from %I a where is_held(a.tenant_id, a.channel_id, array[a.user_id, a.actor_id], a.entity_type, a.entity_id)
    )
  $find$;
  _remove_unheld constant text := $remove$
    with removed as (
      delete from %1$I a
      where a.id in (
        select d.id
        from %1$I d
        where d.id > $2
          and not is_held(d.tenant_id, d.channel_id, array[d.user_id, d.actor_id], d.entity_type, d.entity_id)
        limit $1
      )
      returning a.tenant_id, a.id
    )
    select jsonb_agg(to_jsonb(p))
    from (
      select r.tenant_id, count(*) as count, min(r.id)::text as first_id, max(r.id)::text as last_id
      from removed r
      group by r.tenant_id
    ) as p
  $remove$;
  _kept bigint;
  _last bigint;
  _has_holds boolean;
  _is_held boolean := false;
  -- Rows before it are in months that are dropped, or emptied but for held rows, or in the default partition.
  _from bigint;
  _removed jsonb;
  _name text;
begin
  perform pg_advisory_xact_lock_shared(hashtext('discuss.holds'));
  _has_holds := exists (select from legal_holds h where h.released_at is null);
  select b.*
  into _bounds
  from retention_bounds('activity', _age_ms) as b;
  _month := date_trunc('month', to_timestamp((_now - _bounds.longest) / 1000.0) at time zone 'UTC');
  _from := coalesce(extract(epoch from _month at time zone 'UTC')::bigint * 1000, 0);

  for _name in
    select c.relname
    from pg_inherits i
    join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'activity_feed'::regclass
      and c.relname ~ '^activity_feed_[0-9]{4}_[0-9]{2}$'
      and to_date(right(c.relname, 7), 'YYYY_MM') < _month
    order by c.relname
  loop
    if _has_holds then
      execute format(_find_held, _name) into _is_held;
    end if;
    if _is_held then
      select k.last_id into _kept from kept_partitions k where k.tenant_id = 0 and k.name = _name;
      execute format(_remove_unheld, _name) into _removed using _limit, coalesce(_kept, 0);
      if _removed is null then
        execute format('select max(id) from %I', _name) into _last;
        insert into kept_partitions (name, last_id, kept_at)
        values (_name, _last, now_ms())
        on conflict (tenant_id, name) do update set last_id = excluded.last_id, kept_at = excluded.kept_at
        where kept_partitions.last_id != excluded.last_id;
        continue;
      end if;
      perform certify_purge(_removed, 'ACTIVITIES_PURGED', _rule || jsonb_build_object('partition', _name));
      return (select sum((e ->> 'count')::int) from jsonb_array_elements(_removed) as e);
    end if;
    begin
      execute format(_count_rows, _name) into _removed;
      execute format('drop table %I', _name);
      -- One for each call, so that the lock of the table is held for a moment only.
      if _removed is not null then
        perform certify_purge(_removed, 'ACTIVITIES_PURGED', _rule || jsonb_build_object('partition', _name));
        return (select sum((e ->> 'count')::int) from jsonb_array_elements(_removed) as e);
      end if;
    exception
      when lock_not_available or deadlock_detected then
        raise warning 'postponed dropping %: %', _name, sqlerrm;
        exit;
    end;
  end loop;

  with removed as (
    delete from activity_feed a
    where (a.id, a."timestamp") in (
      (
        select d.id, d."timestamp"
        from activity_feed d
        where d."timestamp" >= _from
          and d."timestamp" < _now - _bounds.shortest
          and d."timestamp" < retention_cutoff(d.tenant_id, d.channel_id, 'activity', _age_ms, _now)
          and not is_held(d.tenant_id, d.channel_id, array[d.user_id, d.actor_id], d.entity_type, d.entity_id)
        limit _limit
      )
      union all
      (
        select d.id, d."timestamp"
        from activity_feed_default d
        where d."timestamp" < _from
          and not is_held(d.tenant_id, d.channel_id, array[d.user_id, d.actor_id], d.entity_type, d.entity_id)
        limit _limit
      )
    )
    returning a.tenant_id, a.id
  )
  select jsonb_agg(to_jsonb(p))
  into _removed
  from (
    select r.tenant_id, count(*) as count, min(r.id)::text as first_id, max(r.id)::text as last_id
    from removed r
    group by r.tenant_id
  ) as p;
  perform certify_purge(_removed, 'ACTIVITIES_PURGED', _rule);
  return coalesce((select sum((e ->> 'count')::int) from jsonb_array_elements(_removed) as e), 0);
end
$$;
comment on function purge_activities(bigint, int) is
  'Removes activities whose period of retention is over and returns how many: all of one month by dropping its partition if the longest period is over for it, otherwise at most twice _limit rows. What a legal hold concerns remains; its month is not read again until a hold is released. A month that is locked is left for the next run.';

revoke all on function purge_activities(bigint, int) from public;
grant execute on function purge_activities(bigint, int) to discuss_service;
