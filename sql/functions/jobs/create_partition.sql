create or replace function create_partition(p_parent text, p_name text, p_key text, p_from bigint, p_to bigint) returns boolean
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

  -- Locked in the order of writers, because attaching would take most of these locks later in another order. Only readers of
  -- the default partition wait, and only while it is searched.
  if p_parent != 'channel_events' then
    lock table channels in share row exclusive mode;
    lock table only messages in share row exclusive mode;
  end if;
  execute format('lock table %I in access exclusive mode', _default);

  execute format(
    'create table %I (like %I including defaults including constraints including generated including storage)',
    p_name, p_parent
  );
  -- Without a policy, only the owner can read rows by the partition's own name.
  execute format('alter table %I enable row level security', p_name);

  execute format('select exists (select 1 from %I where %I >= $1 and %I < $2)', _default, p_key, p_key)
  into _misplaced
  using p_from, p_to;

  if _misplaced then
    if p_parent = 'messages' then
      perform detach_references(p_from, p_to);
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
    perform reattach_references();
  end if;
  return true;
end
$$;
comment on function create_partition(text, text, text, bigint, bigint) is
  'Creates one partition and moves into it the rows of its range from the default partition; returns false if it exists. Only ensure_partitions() calls it.';

revoke all on function create_partition(text, text, text, bigint, bigint) from public;
