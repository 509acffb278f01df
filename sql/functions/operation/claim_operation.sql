create or replace function claim_operation(_instance text, _lease_ms bigint, _keep_ms bigint) returns operations
language plpgsql security definer
set search_path = public, pg_temp
as $$
declare
  _now constant bigint := now_ms();
  _operation operations;
begin
  delete from operations o where o.finished_at < retention_now() - _keep_ms;
  update operations o
  set attempt = o.attempt + 1,
      instance = _instance,
      due_at = _now + _lease_ms
  where o.id = (
    select x.id
    from operations x
    where x.finished_at is null
      and x.due_at <= _now
    order by x.due_at
    limit 1
    for update skip locked
  )
  returning o.* into _operation;
  return _operation;
end
$$;
comment on function claim_operation(text, bigint, bigint) is
  'Claims an operation that no instance works on, or whose instance has reported no progress within its lease; null if there is none. Removes operations that ended more than _keep_ms ago (null: none).';

alter function claim_operation(text, bigint, bigint) owner to discuss_system;
revoke all on function claim_operation(text, bigint, bigint) from public;
grant execute on function claim_operation(text, bigint, bigint) to discuss_service;
