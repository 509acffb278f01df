create or replace function create_partition(_parent text, _name text, _key text, _from bigint, _to bigint) returns boolean
language plpgsql
as $$
declare
  _default text := _parent || '_default';
  _columns text := partition_columns(_parent::regclass);
  _misplaced boolean;
begin
  if to_regclass(_name) is not null then
    return false;
  end if;

  -- Locked in the order of writers, because attaching would take most of these locks later in another order. Only readers of
  -- the default partition wait, and only while it is searched.
  if _parent in ('messages', 'activity_feed') then
    lock table channels in share row exclusive mode;
    lock table only messages in share row exclusive mode;
  end if;
  execute format('lock table %I in access exclusive mode', _default);

  execute format(
    'create table %I (like %I including defaults including constraints including generated including storage)',
    _name, _parent
  );
  -- Without a policy, only the owner can read rows by the partition's own name.
  execute format('alter table %I enable row level security', _name);

  execute format('select exists (select 1 from %I where %I >= $1 and %I < $2)', _default, _key, _key)
  into _misplaced
  using _from, _to;

  if _misplaced then
    if _parent = 'messages' then
      perform detach_references(_from, _to);
    end if;
    execute format(
      'insert into %I (%s) select %s from %I where %I >= $1 and %I < $2',
      _name, _columns, _columns, _default, _key, _key
    ) using _from, _to;
    execute format('delete from %I where %I >= $1 and %I < $2', _default, _key, _key)
    using _from, _to;
  end if;

  execute format('alter table %I attach partition %I for values from (%s) to (%s)', _parent, _name, _from, _to);

  if _misplaced and _parent = 'messages' then
    perform reattach_references();
  end if;
  return true;
end
$$;
comment on function create_partition(text, text, text, bigint, bigint) is
  'Creates one partition and moves into it the rows of its range from the default partition; returns false if it exists. Only ensure_partitions() calls it.';

revoke all on function create_partition(text, text, text, bigint, bigint) from public;
