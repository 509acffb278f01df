create or replace function postpone_operation(_operation_id bigint, _attempt int, _delay_ms bigint) returns void
language sql security definer
set search_path = public, pg_temp
begin atomic
  update operations o
  set due_at = now_ms() + _delay_ms
  where o.id = _operation_id
    and o.attempt = _attempt
    and o.finished_at is null;
end;
comment on function postpone_operation(bigint, int, bigint) is
  'Ends the lease of an operation after a delay, so that any instance continues it.';

alter function postpone_operation(bigint, int, bigint) owner to discuss_system;
revoke all on function postpone_operation(bigint, int, bigint) from public;
grant execute on function postpone_operation(bigint, int, bigint) to discuss_service;
