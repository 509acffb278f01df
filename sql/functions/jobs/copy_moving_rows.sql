create or replace function copy_moving_rows(_parent text, _blocks int) returns boolean
language plpgsql
as $$
declare
  _from bigint;
  _end bigint;
  _columns constant text := (select string_agg(quote_ident(c), ', ') from unnest(partition_columns(_parent::regclass)) as c);
begin
  select m.next_block, m.blocks
  into _from, _end
  from partition_moves m
  where m.parent = _parent
  for update;
  if _from >= _end then
    return true;
  end if;
  -- A change of a row waits until its copy is committed, and this waits for changes that have begun, but not for long.
  execute format(
    'insert into %I (%s) select %s from %I where ctid >= %L and ctid < %L for share on conflict do nothing',
    _parent || '_moving', _columns, _columns, _parent || '_default', format('(%s,0)', _from), format('(%s,0)', _from + _blocks)
  );
  update partition_moves m
  set next_block = _from + _blocks
  where m.parent = _parent;
  return _from + _blocks >= _end;
end
$$;
comment on function copy_moving_rows(text, int) is
  'Copies the rows of the next blocks of a default partition to the partitions that will contain them; true: all are copied.';

revoke all on function copy_moving_rows(text, int) from public;
