create or replace function list_retention_runs(_before bigint, _limit int)
returns setof retention_runs
language sql stable security definer
set search_path = public, pg_temp
begin atomic
  select r.*
  from retention_runs r
  where r.id < _before
  order by r.id desc
  limit _limit;
end;
comment on function list_retention_runs(bigint, int) is 'Runs of retention before an id, newest first. For operators.';

alter function list_retention_runs(bigint, int) owner to discuss_system;
revoke all on function list_retention_runs(bigint, int) from public;
grant execute on function list_retention_runs(bigint, int) to discuss_service;
