create or replace function database_stats()
returns table (name text, rows_estimate bigint, bytes bigint)
language sql stable security definer
set search_path = public, pg_temp
begin atomic
  select t.name, sum(greatest(p.reltuples, 0))::bigint, sum(pg_total_relation_size(p.oid))::bigint
  from (
    select c.oid, c.relname::text as name
    from pg_class c
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
    union all
    -- Each day of the log separately.
    select c.oid, c.relname::text
    from pg_inherits i
    join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'channel_events'::regclass
  ) as t
  cross join lateral (
    select q.relid as oid from pg_partition_tree(t.oid) q where q.isleaf
    union
    -- That function returns nothing for a table without partitions.
    select o.oid from pg_class o where o.oid = t.oid and o.relkind = 'r'
  ) as l
  join pg_class p on p.oid = l.oid
  where current_setting('app.role', true) = 'operator'
  group by t.name
  order by t.name;
end;
comment on function database_stats() is
  'Size and estimated number of rows of each table and of each day of the log. For operators; empty for other callers.';

alter function database_stats() owner to discuss_system;
revoke all on function database_stats() from public;
grant execute on function database_stats() to discuss_service;
