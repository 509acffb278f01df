create or replace function list_operations(_tenant_id bigint, _before bigint, _limit int) returns setof operations
language sql stable security definer
set search_path = public, pg_temp
begin atomic
  select o.*
  from operations o
  where o.tenant_id = _tenant_id
    and o.id < _before
  order by o.id desc
  limit _limit;
end;
comment on function list_operations(bigint, bigint, int) is
  'Operations of a tenant before an id, newest first. For operators.';

alter function list_operations(bigint, bigint, int) owner to discuss_system;
revoke all on function list_operations(bigint, bigint, int) from public;
grant execute on function list_operations(bigint, bigint, int) to discuss_service;
