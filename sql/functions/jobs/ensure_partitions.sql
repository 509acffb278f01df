create or replace function ensure_partitions(_now_ms bigint default now_ms()) returns setof text
language plpgsql security definer
set search_path = public, pg_temp
-- Other sessions queue behind a waiting lock. Below deadlock_timeout, so that this function gives up instead of a writer.
set lock_timeout = '250ms'
as $$
declare
  _span constant bigint := 30000000;
  _day constant bigint := 86400000;
  -- Half a megabyte: about 1,000 rows, which take some milliseconds.
  _blocks constant int := 64;
  _plan record;
  _misplaced int[];
  _is_misplaced boolean;
begin
  perform pg_advisory_xact_lock(hashtext('discuss.ensure_partitions'));

  for _plan in
    with days as (
      select distinct k / _day as day
      from (
        select _now_ms + ahead * _day from generate_series(0, 7) as ahead
        union all
        select k from misplaced_keys('channel_events_default', 'created_at', _day) as k
      ) as keys(k)
    ),
    months as (
      select distinct date_trunc('month', to_timestamp(k / 1000.0) at time zone 'UTC') as month
      from (
        select
          floor(extract(epoch from (
            date_trunc('month', to_timestamp(_now_ms / 1000.0) at time zone 'UTC') + ahead * interval '1 month'
          ) at time zone 'UTC') * 1000)::bigint
        from generate_series(0, 2) as ahead
        union all
        select k from misplaced_keys('activity_feed_default', 'timestamp', 28 * _day) as k
      ) as keys(k)
    ),
    spans as (
      select distinct k / _span as span
      from (
        select s.last_value + ahead * _span from messages_id_seq s, generate_series(0, 2) as ahead
        union all
        select k from misplaced_keys('messages_default', 'id', _span) as k
        union all
        select k from misplaced_keys('message_words_default', 'message_id', _span) as k
      ) as keys(k)
    ),
    partitions as (
      select 1 as turn, 'channel_events' as parent, 'created_at' as key, day * _day as low, (day + 1) * _day as high,
        'channel_events_' || to_char(to_timestamp(day * 86400) at time zone 'UTC', 'YYYYMMDD') as name
      from days
      union all
      select 2, 'activity_feed', 'timestamp',
        (extract(epoch from month at time zone 'UTC') * 1000)::bigint,
        (extract(epoch from (month + interval '1 month') at time zone 'UTC') * 1000)::bigint,
        'activity_feed_' || to_char(month, 'YYYY_MM')
      from months
      union all
      select 3, 'messages', 'id', span * _span, (span + 1) * _span,
        'messages_p' || lpad((span + 1)::text, greatest(6, length((span + 1)::text)), '0')
      from spans
      union all
      select 4, 'message_words', 'message_id', span * _span, (span + 1) * _span,
        'message_words_p' || lpad((span + 1)::text, greatest(6, length((span + 1)::text)), '0')
      from spans
    )
    select
      p.parent, p.key, array_agg(p.name order by p.low) as names, array_agg(p.low order by p.low) as lows,
      array_agg(p.high order by p.low) as highs
    from partitions p
    where to_regclass(p.name) is null
      or exists (select from partition_moves m where m.parent = p.parent)
    group by p.turn, p.parent, p.key
    order by p.turn
  loop
    begin
      if not exists (select from partition_moves m where m.parent = _plan.parent) then
        _misplaced := '{}';
        for _i in 1..array_length(_plan.names, 1) loop
          execute format('select exists (select from %I where %I >= $1 and %I < $2)', _plan.parent || '_default', _plan.key, _plan.key)
          into _is_misplaced
          using _plan.lows[_i], _plan.highs[_i];
          if _is_misplaced then
            _misplaced := _misplaced || _i;
          end if;
        end loop;
        if _misplaced != '{}' then
          perform begin_partition_move(
            _plan.parent,
            array(select _plan.names[i] from unnest(_misplaced) as i),
            array(select _plan.lows[i] from unnest(_misplaced) as i),
            array(select _plan.highs[i] from unnest(_misplaced) as i)
          );
          -- Writers wait for this transaction, so it copies only what one batch copies.
          continue when exists (select from partition_moves m where m.parent = _plan.parent and m.blocks > _blocks);
        end if;
      end if;
      if exists (select from partition_moves m where m.parent = _plan.parent) then
        continue when not copy_moving_rows(_plan.parent, _blocks);
        return query select finish_partition_move(_plan.parent);
      end if;
      for _i in 1..array_length(_plan.names, 1) loop
        if create_partition(_plan.parent, _plan.names[_i], _plan.key, _plan.lows[_i], _plan.highs[_i]) then
          return next _plan.names[_i];
        end if;
      end loop;
    exception
      when lock_not_available or deadlock_detected then
        -- Writers queue behind a waiting lock, so it waits once, and not once per partition.
        raise warning 'postponed partitions of % and later tables: %', _plan.parent, sqlerrm;
        exit;
    end;
  end loop;
end
$$;
comment on function ensure_partitions(bigint) is
  'Creates the partitions for the next 7 days (channel_events), 2 months (activity_feed) and 60,000,000 messages with their words. Rows of the default partitions are moved first, without stopping writers: each call copies a batch, until moving_partitions() returns nothing. Returns the created partitions, and warns of those that it had to postpone because the table was busy. To be called every hour.';

revoke all on function ensure_partitions(bigint) from public;
grant execute on function ensure_partitions(bigint) to discuss_service;
