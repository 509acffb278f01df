create or replace function lock_for_partitions(_parent text) returns void
language plpgsql
as $$
begin
  -- Attaching a partition locks the tables that its foreign keys refer to. Writers lock these first.
  if _parent = 'activity_feed' then
    lock table channels in share row exclusive mode;
  end if;
  execute format('lock table only %I in share update exclusive mode', _parent);
end
$$;
comment on function lock_for_partitions(text) is
  'Locks what attaching a partition locks, in the order of writers.';

revoke all on function lock_for_partitions(text) from public;
