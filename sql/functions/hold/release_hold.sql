create or replace function release_hold(_tenant_id bigint, _hold_id bigint, _actor_id bigint) returns legal_holds
language plpgsql security definer
set search_path = public, pg_temp
as $$
declare
  _hold legal_holds;
begin
  update legal_holds h
  set released_at = coalesce(h.released_at, now_ms()),
      released_by = case when h.released_at is null then _actor_id else h.released_by end
  where h.tenant_id = _tenant_id
    and h.id = _hold_id
  returning h.* into _hold;
  if found then
    perform drop_unheld(_tenant_id);
  end if;
  return _hold;
end
$$;
comment on function release_hold(bigint, bigint, bigint) is
  'Releases a legal hold of a tenant and returns it, or null if there is none. A released one is not changed. For operators.';

alter function release_hold(bigint, bigint, bigint) owner to discuss_system;
revoke all on function release_hold(bigint, bigint, bigint) from public;
grant execute on function release_hold(bigint, bigint, bigint) to discuss_service;
