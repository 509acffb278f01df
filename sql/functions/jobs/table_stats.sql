create or replace function table_stats()
returns table (name text, bytes bigint, default_rows bigint, partitions_ahead bigint)
language plpgsql stable security definer
set search_path = public, pg_temp
as $$
declare
  _table record;
begin
  for _table in
    select
      c.oid,
      c.relkind,
      c.relname::text as relname,
      case
        when c.relname in ('messages', 'message_words') then (select s.last_value from messages_id_seq s)
        else now_ms()
      end as current_key
    from pg_class c
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
  loop
    name := _table.relname;
    default_rows := null;
    partitions_ahead := null;
    bytes := pg_total_relation_size(_table.oid);
    if _table.relkind = 'p' then
      bytes := (
        select sum(pg_total_relation_size(t.relid))
        from pg_partition_tree(_table.oid) t
        where t.isleaf
      );
      execute format('select count(*) from (select from %I limit 10000) as r', _table.relname || '_default') into default_rows;
      partitions_ahead := (
        select count(*)
        from pg_inherits i
        join pg_class p on p.oid = i.inhrelid
        cross join lateral regexp_match(pg_get_expr(p.relpartbound, p.oid), 'FROM \(''?(\d+)''?\)') as low
        where i.inhparent = _table.oid and low[1]::bigint > _table.current_key
      );
    end if;
    return next;
  end loop;
end;
$$;
comment on function table_stats() is
  'Size of each table; of each partitioned one also the rows in its default partition, at most 10000, and the number of partitions for later keys. For metrics.';

revoke all on function table_stats() from public;
grant execute on function table_stats() to discuss_service;
