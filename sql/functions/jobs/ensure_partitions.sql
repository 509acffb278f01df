create or replace function ensure_partitions(_now_ms bigint default now_ms()) returns setof text
language plpgsql security definer
set search_path = public, pg_temp
-- Other sessions queue behind a waiting lock. Below deadlock_timeout, so that this function gives up instead of a writer.
set lock_timeout = '250ms'
as $$
declare
  _span constant bigint := 30000000;
  _day constant bigint := 86400000;
  _plan record;
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
    )
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
    order by turn, low
  loop
    begin
      if create_partition(_plan.parent, _plan.name, _plan.key, _plan.low, _plan.high) then
        return next _plan.name;
      end if;
    exception
      when lock_not_available or deadlock_detected then
        -- Writers queue behind a waiting lock, so it waits once, and not once per partition.
        raise warning 'postponed partition % and later ones: %', _plan.name, sqlerrm;
        exit;
    end;
  end loop;
end
$$;
comment on function ensure_partitions(bigint) is
  'Creates the partitions for the next 7 days (channel_events), 2 months (activity_feed) and 60,000,000 messages with their words, and moves rows out of the default partitions. Returns the created partitions, and warns of those that it had to postpone because the table was busy. To be called every hour.';

revoke all on function ensure_partitions(bigint) from public;
grant execute on function ensure_partitions(bigint) to discuss_service;
