-- Owned by the owner of the tables, because only the owner can drop a table.
create or replace function drop_empty_partitions() returns setof text
language plpgsql security definer
set search_path = public, pg_temp
-- Other sessions queue behind a waiting lock. Below deadlock_timeout, so that this function gives up instead of a writer.
set lock_timeout = '250ms'
as $$
declare
  -- Removed rows take space until a vacuum, and reading them takes time, so a larger partition is left for later.
  _max_bytes constant bigint := 64 * current_setting('block_size')::bigint;
  _partition record;
  _has_rows boolean;
begin
  if not pg_try_advisory_xact_lock(hashtext('discuss.ensure_partitions')) then
    return;
  end if;

  for _partition in
    select t.parent, c.oid, c.relname as name
    from (
      values
        ('activity_feed', now_ms()),
        ('channel_events', now_ms()),
        ('messages', (select s.last_value from messages_id_seq s)),
        ('message_words', (select s.last_value from messages_id_seq s))
    ) as t(parent, current_key)
    join pg_inherits i on i.inhparent = t.parent::regclass
    join pg_class c on c.oid = i.inhrelid
    where substring(pg_get_expr(c.relpartbound, c.oid) from $re$TO \('?(\d+)'?\)$re$)::bigint <= t.current_key
      and pg_relation_size(c.oid) <= _max_bytes
      and not exists (select from partition_moves m where m.parent = t.parent)
    order by t.parent, c.relname
  loop
    execute format('select exists (select from %I)', _partition.name) into _has_rows;
    continue when _has_rows;
    begin
      -- In the order of writers. Dropping a table also locks those that its foreign keys refer to.
      if _partition.parent = 'activity_feed' then
        lock table only channels in access exclusive mode;
      end if;
      execute format('lock table only %I in access exclusive mode', _partition.parent);
      execute format('lock table %I in access exclusive mode', _partition.name);
      -- A row may have arrived before the lock.
      execute format('select exists (select from %I)', _partition.name) into _has_rows;
      if not _has_rows then
        execute format('drop table %I', _partition.name);
        return next _partition.name;
      end if;
    exception
      when lock_not_available or deadlock_detected then
        -- Writers queue behind a waiting lock, so it waits once, and not once per partition.
        raise warning 'postponed dropping % and later partitions: %', _partition.name, sqlerrm;
    end;
    -- One for each call, so that the lock of the table is held for a moment only.
    exit;
  end loop;
end
$$;
comment on function drop_empty_partitions() is
  'Drops the first partition of messages, their words, activities or the log that is empty and below the current id or time, and returns its name; none if there is no more. What has more than 64 blocks, because its removed rows were not vacuumed, or is locked, is left for the next run.';

revoke all on function drop_empty_partitions() from public;
grant execute on function drop_empty_partitions() to discuss_service;
