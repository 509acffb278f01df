create or replace function begin_partition_move(_parent text, _names text[], _lows bigint[], _highs bigint[]) returns void
language plpgsql
as $$
declare
  _default constant text := _parent || '_default';
  _copy constant text := _parent || '_moving';
  _key constant text := (
    select a.attname
    from pg_partitioned_table p
    join pg_attribute a on a.attrelid = p.partrelid and a.attnum = p.partattrs[0]
    where p.partrelid = _parent::regclass
  );
  _columns constant text[] := partition_columns(_parent::regclass);
  _condition text;
begin
  execute format(
    'create table %I (like %I including defaults including constraints including generated including storage including indexes)
    partition by range (%I)',
    _copy, _parent, _key
  );
  execute format('alter table %I enable row level security', _copy);
  for _i in 1..array_length(_names, 1) loop
    execute format('create table %I partition of %I for values from (%s) to (%s)', _names[_i], _copy, _lows[_i], _highs[_i]);
    execute format('alter table %I enable row level security', _names[_i]);
    -- With it, attaching the partition reads no rows.
    execute format(
      'alter table %I add constraint moving_range check (%I >= %s and %I < %s)', _names[_i], _key, _lows[_i], _key, _highs[_i]
    );
  end loop;
  execute format('create table %I partition of %I default', _copy || '_default', _copy);
  execute format('alter table %I enable row level security', _copy || '_default');

  select string_agg(format('c.%1$I = ($1).%1$I', a.attname), ' and ')
  into _condition
  from pg_index i
  join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any(i.indkey)
  where i.indrelid = _parent::regclass
    and i.indisprimary;
  -- Waits for writers that have changed the table: what they wrote is copied, and what others write is mirrored.
  execute format(
    'create trigger mirror_moving_row after insert or update or delete on %I
    for each row execute function mirror_moving_row(%L, %L, %L, %L)',
    _default, _copy, _condition,
    (select string_agg(quote_ident(c), ', ') from unnest(_columns) as c),
    (select string_agg(format('($1).%I', c), ', ') from unnest(_columns) as c)
  );
  insert into partition_moves (parent, blocks)
  values (_parent, pg_relation_size(_default::regclass) / current_setting('block_size')::bigint);
end
$$;
comment on function begin_partition_move(text, text[], bigint[], bigint[]) is
  'Prepares to move the rows of a default partition into new partitions: creates these and another default partition as partitions of a copy of the table, and a trigger that mirrors changes to it. The next step: copy_moving_rows().';

revoke all on function begin_partition_move(text, text[], bigint[], bigint[]) from public;
