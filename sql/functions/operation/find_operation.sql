create or replace function find_operation(_tenant_id bigint, _operation_id bigint) returns setof operations
language sql stable security definer
set search_path = public, pg_temp
begin atomic
  select o.*
  from operations o
  where o.tenant_id = _tenant_id
    and o.id = _operation_id;
end;
comment on function find_operation(bigint, bigint) is
  'An operation of a tenant. For operators.';

alter function find_operation(bigint, bigint) owner to discuss_system;
revoke all on function find_operation(bigint, bigint) from public;
grant execute on function find_operation(bigint, bigint) to discuss_service;
