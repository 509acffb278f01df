create or replace function finish_operation(_operation_id bigint, _attempt int, _state text, _error bytea) returns void
language plpgsql security definer
set search_path = public, pg_temp
as $$
declare
  _operation operations;
begin
  select o.*
  into _operation
  from operations o
  where o.id = _operation_id
    and o.attempt = _attempt
    and o.finished_at is null
  for no key update;
  if found then
    perform end_operation(_operation, _state, _error, 'job', 0);
  end if;
end
$$;
comment on function finish_operation(bigint, int, text, bytea) is
  'Ends an operation that the instance of this attempt works on.';

alter function finish_operation(bigint, int, text, bytea) owner to discuss_system;
revoke all on function finish_operation(bigint, int, text, bytea) from public;
grant execute on function finish_operation(bigint, int, text, bytea) to discuss_service;
