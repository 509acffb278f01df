create or replace function retention_now() returns bigint
language sql volatile
set search_path = public, pg_temp
begin atomic
  select now_ms() + coalesce((select c.offset_ms from retention_clock c where c.tenant_id = 0), 0);
end;
comment on function retention_now() is
  'The clock by which everything expires, epoch ms: that of the database, which the owner can move for tests.';

revoke all on function retention_now() from public;
grant execute on function retention_now() to discuss_system;
