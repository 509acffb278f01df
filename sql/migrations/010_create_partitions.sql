-- The functions of this file run as the owner of the tables, who alone may make partitions.

create function partition_columns(p_table regclass) returns text
language sql stable
begin atomic
  select string_agg(quote_ident(a.attname), ', ' order by a.attnum)
  from pg_attribute a
  where a.attrelid = p_table
    and a.attnum > 0
    and not a.attisdropped
    and a.attgenerated = '';
end;
comment on function partition_columns(regclass) is
  'Names of the columns a row can be copied by: all but the generated ones.';

create function make_partition(p_parent text, p_name text, p_key text, p_from bigint, p_to bigint) returns boolean
language plpgsql
as $$
declare
  _default text := p_parent || '_default';
  _columns text := partition_columns(p_parent::regclass);
  _misplaced boolean;
begin
  if to_regclass(p_name) is not null then
    return false;
  end if;

  -- In the order in which writers take them; attaching would take most of them later, in its own order.
  -- Readers are kept out of the default partition only, and for as long as it takes to look into it.
  if p_parent != 'channel_events' then
    lock table channels in share row exclusive mode;
    lock table only messages in share row exclusive mode;
  end if;
  execute format('lock table %I in access exclusive mode', _default);

  execute format(
    'create table %I (like %I including defaults including constraints including generated including storage)',
    p_name, p_parent
  );
  -- No policy: nobody but the owner sees a row by the partition's own name.
  execute format('alter table %I enable row level security', p_name);

  execute format('select exists (select 1 from %I where %I >= $1 and %I < $2)', _default, p_key, p_key)
  into _misplaced
  using p_from, p_to;

  if _misplaced then
    if p_parent = 'messages' then
      perform put_aside_references(p_from, p_to);
    end if;
    execute format(
      'insert into %I (%s) select %s from %I where %I >= $1 and %I < $2',
      p_name, _columns, _columns, _default, p_key, p_key
    ) using p_from, p_to;
    execute format('delete from %I where %I >= $1 and %I < $2', _default, p_key, p_key)
    using p_from, p_to;
  end if;

  execute format('alter table %I attach partition %I for values from (%s) to (%s)', p_parent, p_name, p_from, p_to);

  if _misplaced and p_parent = 'messages' then
    perform put_back_references();
  end if;
  return true;
end
$$;
comment on function make_partition(text, text, text, bigint, bigint) is
  'Makes one partition and moves into it what the default partition caught of its range; false if it is there. Called by ensure_partitions().';

-- Deleting a message from the default partition would take its attachments and activities along.
create function put_aside_references(p_from bigint, p_to bigint) returns void
language plpgsql
as $$
begin
  lock table attachments, activity_feed in share row exclusive mode;

  create temporary table put_aside_attachments on commit drop as
  select a.*
  from attachments a
  join messages_default m on m.id = a.message_id
  where m.id >= p_from and m.id < p_to;

  create temporary table put_aside_activities on commit drop as
  select a.*
  from activity_feed a
  join messages_default m on m.id = a.message_id
  where m.id >= p_from and m.id < p_to;

  create temporary table put_aside_replies on commit drop as
  select r.id, r.parent_id
  from messages r
  where r.parent_id >= p_from and r.parent_id < p_to;
end
$$;
comment on function put_aside_references(bigint, bigint) is
  'Copies what refers to the messages of a range, before these leave the default partition.';

create function put_back_references() returns void
language plpgsql
as $$
declare
  _columns text;
begin
  _columns := partition_columns('attachments');
  execute format('insert into attachments (%s) select %s from pg_temp.put_aside_attachments', _columns, _columns);
  _columns := partition_columns('activity_feed');
  execute format('insert into activity_feed (%s) select %s from pg_temp.put_aside_activities', _columns, _columns);

  update messages m
  set parent_id = r.parent_id
  from pg_temp.put_aside_replies r
  where m.id = r.id
    and m.parent_id is distinct from r.parent_id;

  drop table pg_temp.put_aside_attachments, pg_temp.put_aside_activities, pg_temp.put_aside_replies;
end
$$;
comment on function put_back_references() is
  'Restores what put_aside_references() copied, once the messages are in their partition.';

create function misplaced_keys(p_default text, p_key text, p_span bigint) returns setof bigint
language plpgsql
as $$
declare
  _key bigint;
  _from bigint := 0;
begin
  -- Jumps from range to range by the index; twelve ranges are enough for one call.
  for _i in 1..12 loop
    execute format('select min(%I) from %I where %I >= $1', p_key, p_default, p_key) into _key using _from;
    exit when _key is null;
    return next _key;
    _from := (_key / p_span + 1) * p_span;
  end loop;
end
$$;
comment on function misplaced_keys(text, text, bigint) is
  'One key out of each range, p_span wide, of which the default partition holds rows.';

create function ensure_partitions(p_now_ms bigint default now_ms()) returns setof text
language plpgsql security definer
set search_path = public, pg_temp
-- Others wait behind it for as long; and below deadlock_timeout, so that this gives up, not a writer.
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
        select p_now_ms + ahead * _day from generate_series(0, 7) as ahead
        union all
        select k from misplaced_keys('channel_events_default', 'created_at', _day) as k
      ) as keys(k)
    ),
    months as (
      select distinct date_trunc('month', to_timestamp(k / 1000.0) at time zone 'UTC') as month
      from (
        select
          floor(extract(epoch from (
            date_trunc('month', to_timestamp(p_now_ms / 1000.0) at time zone 'UTC') + ahead * interval '1 month'
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
    order by turn, low
  loop
    begin
      if make_partition(_plan.parent, _plan.name, _plan.key, _plan.low, _plan.high) then
        return next _plan.name;
      end if;
    exception
      when lock_not_available or deadlock_detected then
        -- Writers queue behind a lock that is waited for; so wait once, not once for each partition.
        raise warning 'partition % and the rest are put off: %', _plan.name, sqlerrm;
        exit;
    end;
  end loop;
end
$$;
comment on function ensure_partitions(bigint) is
  'Makes the partitions of the next 7 days (channel_events), 2 months (activity_feed) and 60,000,000 messages, and moves on what the default partitions caught. Returns what it made; warns of what it had to put off as the table was busy. Call it every hour.';

create function drop_old_event_partitions(p_days int, p_now_ms bigint default now_ms()) returns setof text
language plpgsql security definer
set search_path = public, pg_temp
set lock_timeout = '250ms'
as $$
declare
  _day constant bigint := 86400000;
  _first_kept bigint := (p_now_ms / _day - p_days) * _day;
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
      execute format('drop table %I', _name);
      return next _name;
    exception
      when lock_not_available or deadlock_detected then
        raise warning 'dropping % and the rest is put off: %', _name, sqlerrm;
        exit;
    end;
  end loop;

  delete from channel_events_default where created_at < _first_kept;
end
$$;
comment on function drop_old_event_partitions(int, bigint) is
  'Drops the days of the log that ended p_days full days ago or earlier; returns what it dropped, warns of what it had to put off.';

select ensure_partitions();
