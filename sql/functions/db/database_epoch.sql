-- Numbers come back when a backup is restored. The server was started since then, or the tables are others.
create or replace function database_epoch() returns text
language sql stable parallel safe
set search_path = public, pg_temp
return hashtextextended(
  current_database() || ' ' || 'channels'::regclass::oid || ' ' || extract(epoch from pg_postmaster_start_time()), 0
)::text;
comment on function database_epoch() is
  'Tells this database from others, and from itself before it was restored: what is kept elsewhere under another one is void. Changes whenever PostgreSQL is started.';

revoke all on function database_epoch() from public;
grant execute on function database_epoch() to discuss_service;
