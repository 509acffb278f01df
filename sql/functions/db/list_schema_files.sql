create or replace function list_schema_files() returns table (name text, checksum text)
language sql stable security definer
set search_path = public, pg_temp
begin atomic
  select m.name, m.checksum from schema_migrations m;
end;
comment on function list_schema_files() is
  'Migrations and function files applied to this database, for the check at the start of an instance.';

revoke all on function list_schema_files() from public;
grant execute on function list_schema_files() to discuss_service;
