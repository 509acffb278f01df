create or replace function finish_partition_move(_parent text) returns setof text
language plpgsql
as $$
declare
  _default constant text := _parent || '_default';
  _copy constant text := _parent || '_moving';
  _comment constant text := obj_description(_default::regclass, 'pg_class');
  _partition record;
begin
  perform lock_for_partitions(_parent);
  execute format('lock table only %I in access exclusive mode', _parent);
  execute format('lock table %I in access exclusive mode', _default);
  execute format('alter table %I detach partition %I', _parent, _default);
  execute format('drop table %I', _default);
  for _partition in
    select c.relname as name, pg_get_expr(c.relpartbound, c.oid) as bounds
    from pg_inherits i
    join pg_class c on c.oid = i.inhrelid
    where i.inhparent = _copy::regclass
      and c.relname != _copy || '_default'
    order by c.relname
  loop
    execute format('alter table %I detach partition %I', _copy, _partition.name);
    execute format('alter table %I attach partition %I %s', _parent, _partition.name, _partition.bounds);
    execute format('alter table %I drop constraint moving_range', _partition.name);
    return next _partition.name;
  end loop;
  execute format('alter table %I detach partition %I', _copy, _copy || '_default');
  execute format('drop table %I', _copy);
  execute format('alter table %I rename to %I', _copy || '_default', _default);
  execute format('comment on table %I is %L', _default, _comment);
  execute format('alter table %I attach partition %I default', _parent, _default);
  delete from partition_moves m where m.parent = _parent;
end
$$;
comment on function finish_partition_move(text) is
  'Replaces a default partition by the partitions to which its rows were copied, without touching a row. Returns their names.';

revoke all on function finish_partition_move(text) from public;
