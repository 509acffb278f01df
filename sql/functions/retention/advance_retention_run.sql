create or replace function advance_retention_run(
  _run_id bigint,
  _attempt int,
  _kind text,
  _count bigint,
  _lease_ms bigint,
  _is_end boolean default false
) returns void
language plpgsql security definer
set search_path = public, pg_temp
as $$
declare
  _now constant bigint := now_ms();
begin
  update retention_runs r
  set messages = r.messages + case _kind when 'messages' then _count else 0 end,
      channels = r.channels + case _kind when 'channels' then _count else 0 end,
      activities = r.activities + case _kind when 'activities' then _count else 0 end,
      exported = r.exported + case _kind when 'exported' then _count else 0 end,
      archived = r.archived + case _kind when 'archived' then _count else 0 end,
      lease_until = _now + _lease_ms,
      finished_at = case when _is_end then _now end
  where r.id = _run_id
    and r.attempt = _attempt
    and r.finished_at is null;
  if not found then
    raise exception 'another instance works on the run of retention' using errcode = 'serialization_failure';
  end if;
end
$$;
comment on function advance_retention_run(bigint, int, text, bigint, bigint, boolean) is
  'Adds to the counts of a run in the transaction of the change, and extends its lease; _is_end: ends it. Fails if another instance has resumed the run.';

alter function advance_retention_run(bigint, int, text, bigint, bigint, boolean) owner to discuss_system;
revoke all on function advance_retention_run(bigint, int, text, bigint, bigint, boolean) from public;
grant execute on function advance_retention_run(bigint, int, text, bigint, bigint, boolean) to discuss_service;
