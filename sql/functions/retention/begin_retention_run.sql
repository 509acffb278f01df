create or replace function begin_retention_run(_instance text, _lease_ms bigint, out run_id bigint, out attempt int)
language plpgsql security definer
set search_path = public, pg_temp
as $$
declare
  _now bigint;
begin
  perform pg_advisory_xact_lock(hashtext('discuss.retention'));
  _now := now_ms();
  update retention_runs r
  set instance = _instance,
      attempt = r.attempt + 1,
      lease_until = _now + _lease_ms
  where r.tenant_id = 0
    and r.finished_at is null
    and r.lease_until < _now
  returning r.id, r.attempt into run_id, attempt;
  if found or exists (select from retention_runs r where r.tenant_id = 0 and r.finished_at is null) then
    return;
  end if;
  delete from retention_runs r where r.finished_at < retention_now() - 400 * 86400000::bigint;
  insert into retention_runs (started_at, lease_until, instance)
  values (_now, _now + _lease_ms, _instance)
  returning retention_runs.id, retention_runs.attempt into run_id, attempt;
end
$$;
comment on function begin_retention_run(text, bigint) is
  'Begins a run of retention, or resumes one whose instance has not reported progress within its lease. Null while another instance works on one. Removes records of runs that ended more than 400 days ago.';

alter function begin_retention_run(text, bigint) owner to discuss_system;
revoke all on function begin_retention_run(text, bigint) from public;
grant execute on function begin_retention_run(text, bigint) to discuss_service;
