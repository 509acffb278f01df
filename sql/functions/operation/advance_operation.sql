create or replace function advance_operation(
  _operation_id bigint,
  _attempt int,
  _progress jsonb,
  _counts jsonb,
  _lease_ms bigint
) returns void
language plpgsql security definer
set search_path = public, pg_temp
as $$
declare
  _now constant bigint := now_ms();
begin
  update operations o
  set progress = _progress,
      counts = o.counts || (
        select coalesce(jsonb_object_agg(c.key, coalesce((o.counts ->> c.key)::bigint, 0) + c.value::bigint), '{}')
        from jsonb_each_text(_counts) as c
      ),
      updated_at = _now,
      due_at = _now + _lease_ms
  where o.id = _operation_id
    and o.attempt = _attempt
    and o.finished_at is null;
  if not found then
    raise exception 'the operation was cancelled, or another instance works on it' using errcode = 'serialization_failure';
  end if;
end
$$;
comment on function advance_operation(bigint, int, jsonb, jsonb, bigint) is
  'Records the progress of an operation in the transaction of a step, adds to its counts and extends its lease. Fails if it was cancelled or another instance has claimed it.';

alter function advance_operation(bigint, int, jsonb, jsonb, bigint) owner to discuss_system;
revoke all on function advance_operation(bigint, int, jsonb, jsonb, bigint) from public;
grant execute on function advance_operation(bigint, int, jsonb, jsonb, bigint) to discuss_service;
