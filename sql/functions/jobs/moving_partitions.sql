create or replace function moving_partitions() returns setof text
language sql stable security definer
set search_path = public, pg_temp
begin atomic
  select m.parent from partition_moves m order by m.parent;
end;
comment on function moving_partitions() is
  'Tables whose default partition has rows that ensure_partitions() has begun to move.';

alter function moving_partitions() owner to discuss_system;
revoke all on function moving_partitions() from public;
grant execute on function moving_partitions() to discuss_service;
