create or replace function retention_age_ms() returns bigint
language sql stable security definer
set search_path = public, pg_temp
begin atomic
  select now_ms() - max(r.finished_at) from retention_runs r;
end;
comment on function retention_age_ms() is
  'Time since retention last finished; null if it never did. For metrics.';

alter function retention_age_ms() owner to discuss_system;
revoke all on function retention_age_ms() from public;
grant execute on function retention_age_ms() to discuss_service;
