-- What the document keeps for a time: deleted messages 90 days, activities 365, groups that nobody uses 180 before they
-- are archived. In steps of some thousand rows, so that nobody waits for long.

create function purge_deleted_messages(_before bigint, _limit int) returns int
language plpgsql security definer
set search_path = public, pg_temp
as $$
declare
  _ids bigint[];
  _purged int;
begin
  -- Not the first message of a thread that still holds replies: without it they would be messages of the channel.
  select array_agg(d.id)
  into _ids
  from (
    select m.id
    from messages m
    where m.is_deleted
      and m.deleted_at < _before
      and not exists (select 1 from messages r where r.parent_id = m.id)
    order by m.deleted_at
    limit _limit
  ) as d;

  perform 1
  from channels c
  where c.id in (select m.channel_id from messages m where m.id = any(_ids))
  order by c.id
  for no key update;

  delete from messages m
  where m.id = any(_ids)
    and m.is_deleted
    and not exists (select 1 from messages r where r.parent_id = m.id);
  get diagnostics _purged = row_count;
  return _purged;
end
$$;
comment on function purge_deleted_messages(bigint, int) is
  'Removes up to _limit messages for good that were deleted before _before, epoch ms, with all that belongs to them, and returns how many. The first message of a thread stays as long as one of its replies.';

create function purge_deleted_channels(_before bigint, _limit int) returns int
language plpgsql security definer
set search_path = public, pg_temp
as $$
declare
  _channel_id bigint;
  _purged int;
begin
  select c.id
  into _channel_id
  from channels c
  where c.deleted_at < _before
  order by c.deleted_at
  limit 1
  for update skip locked;
  if not found then
    return 0;
  end if;

  -- The newest first, so that replies go before what they reply to.
  delete from messages m
  where m.id in (
    select d.id from messages d where d.channel_id = _channel_id order by d.id desc limit _limit
  );
  get diagnostics _purged = row_count;
  if _purged < _limit then
    delete from channels c where c.id = _channel_id;
    _purged := _purged + 1;
  end if;
  return _purged;
end
$$;
comment on function purge_deleted_channels(bigint, int) is
  'Removes up to _limit messages for good of a channel that was deleted before _before, epoch ms, and the channel with the last of them. Returns how many rows went; 0 when there is no such channel.';

-- Deleted channels: purge_deleted_channels().
create index idx_channels_deleted on channels (deleted_at) where deleted_at is not null;

create function purge_activities(_before bigint, _limit int) returns int
language plpgsql security definer
set search_path = public, pg_temp
set lock_timeout = '250ms'
as $$
declare
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

  -- Months that are over for good, empty by now.
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
        raise warning 'dropping % is put off: %', _name, sqlerrm;
        exit;
    end;
  end loop;
  return 0;
end
$$;
comment on function purge_activities(bigint, int) is
  'Removes up to _limit activities from before _before, epoch ms, and returns how many; when there are none, drops the months that are over.';

create function list_inactive_groups(_before bigint, _limit int)
returns table (tenant_id bigint, channel_id bigint)
language sql stable security definer
set search_path = public, pg_temp
as $$
  select c.tenant_id, c.id
  from channels c
  where c.type = 'GROUP'
    and not c.is_archived
    and c.deleted_at is null
    and greatest(c.last_message_at, c.updated_at, c.created_at) < _before
  limit _limit
$$;
comment on function list_inactive_groups(bigint, int) is
  'Groups without a message or another change since _before, epoch ms. Reads all channels.';

do $$
declare
  _function text;
begin
  foreach _function in array array[
    'purge_deleted_messages(bigint, int)', 'purge_deleted_channels(bigint, int)', 'list_inactive_groups(bigint, int)'
  ] loop
    execute format('alter function %s owner to discuss_system', _function);
  end loop;
  -- purge_activities() drops tables, which only their owner may.
  foreach _function in array array[
    'purge_deleted_messages(bigint, int)', 'purge_deleted_channels(bigint, int)', 'purge_activities(bigint, int)',
    'list_inactive_groups(bigint, int)'
  ] loop
    execute format('revoke all on function %s from public', _function);
    execute format('grant execute on function %s to discuss_service', _function);
  end loop;
end
$$;
