create or replace function list_schema_files() returns table (name text, checksum text)
language sql stable security definer
set search_path = public, pg_temp
begin atomic
  select m.name, m.checksum from schema_migrations m;
end;
comment on function list_schema_files() is
  'Names and checksums of the migrations and function files applied to this database; an instance compares them with its own at startup.';

revoke all on function list_schema_files() from public;
grant execute on function list_schema_files() to discuss_service;
