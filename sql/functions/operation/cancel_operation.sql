create or replace function cancel_operation(_tenant_id bigint, _operation_id bigint, _actor_id bigint) returns operations
language plpgsql security definer
set search_path = public, pg_temp
as $$
declare
  _operation operations;
begin
  select o.*
  into _operation
  from operations o
  where o.tenant_id = _tenant_id
    and o.id = _operation_id
  for no key update;
  if found and _operation.finished_at is null then
    _operation := end_operation(_operation, 'CANCELLED', null, 'operator', _actor_id);
  end if;
  return _operation;
end
$$;
comment on function cancel_operation(bigint, bigint, bigint) is
  'Ends an operation of a tenant that is in progress, and returns it, or null if there is none. Waits for its current step; the next one fails. For operators.';

alter function cancel_operation(bigint, bigint, bigint) owner to discuss_system;
revoke all on function cancel_operation(bigint, bigint, bigint) from public;
grant execute on function cancel_operation(bigint, bigint, bigint) to discuss_service;
