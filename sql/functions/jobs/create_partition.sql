create or replace function create_partition(_parent text, _name text, _key text, _from bigint, _to bigint) returns boolean
language plpgsql
as $$
declare
  _has_rows boolean;
begin
  if to_regclass(_name) is not null then
    return false;
  end if;

  perform lock_for_partitions(_parent);
  execute format('lock table %I in access exclusive mode', _parent || '_default');
  -- A writer that had the lock may have added rows of the range.
  execute format('select exists (select from %I where %I >= $1 and %I < $2)', _parent || '_default', _key, _key)
  into _has_rows
  using _from, _to;
  if _has_rows then
    return false;
  end if;
  execute format(
    'create table %I (like %I including defaults including constraints including generated including storage)',
    _name, _parent
  );
  -- Without a policy, only the owner can read rows by the partition's own name.
  execute format('alter table %I enable row level security', _name);
  execute format('alter table %I attach partition %I for values from (%s) to (%s)', _parent, _name, _from, _to);
  return true;
end
$$;
comment on function create_partition(text, text, text, bigint, bigint) is
  'Creates one partition. Returns false if it exists, or if the default partition has rows of its range, which have to be moved first. Only ensure_partitions() calls it.';

revoke all on function create_partition(text, text, text, bigint, bigint) from public;
