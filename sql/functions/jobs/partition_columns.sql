create or replace function partition_columns(_table regclass) returns text[]
language sql stable
begin atomic
  select array_agg(a.attname::text order by a.attnum)
  from pg_attribute a
  where a.attrelid = _table
    and a.attnum > 0
    and not a.attisdropped
    and a.attgenerated = '';
end;
comment on function partition_columns(regclass) is 'The columns by which rows are copied: all but generated ones.';

revoke all on function partition_columns(regclass) from public;
