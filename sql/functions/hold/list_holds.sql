create or replace function list_holds(_tenant_id bigint, _with_released boolean, _before bigint, _limit int)
returns setof legal_holds
language sql stable security definer
set search_path = public, pg_temp
begin atomic
  select h.*
  from legal_holds h
  where h.tenant_id = _tenant_id
    and (_with_released or h.released_at is null)
    and h.id < _before
  order by h.id desc
  limit _limit;
end;
comment on function list_holds(bigint, boolean, bigint, int) is 'Legal holds of a tenant before an id, newest first. For operators.';

alter function list_holds(bigint, boolean, bigint, int) owner to discuss_system;
revoke all on function list_holds(bigint, boolean, bigint, int) from public;
grant execute on function list_holds(bigint, boolean, bigint, int) to discuss_service;
