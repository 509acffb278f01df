create or replace function schema_version() returns table (version text, oldest_build text)
language sql immutable
set search_path = public, pg_temp
begin atomic
  select '0.1.0', '0.1.0';
end;
comment on function schema_version() is
  'Version of the build that this schema belongs to, and the oldest build that can run on it, as src/db/schema-version.ts states.';

revoke all on function schema_version() from public;
grant execute on function schema_version() to discuss_service;
