create or replace function prune_idempotency_keys(p_before_ms bigint, p_limit int) returns int
language plpgsql security definer
set search_path = public, pg_temp
as $$
declare
  _pruned int;
begin
  with old_keys as materialized (
    select k.tenant_id, k.user_id, k.request_id
    from idempotency_keys k
    where k.created_at < p_before_ms
    order by k.created_at
    limit p_limit
    for update skip locked
  )
  delete from idempotency_keys k
  using old_keys o
  where k.tenant_id = o.tenant_id
    and k.user_id = o.user_id
    and k.request_id = o.request_id;
  get diagnostics _pruned = row_count;
  return _pruned;
end
$$;
comment on function prune_idempotency_keys(bigint, int) is
  'Removes at most p_limit keys created before p_before_ms and returns how many; less than p_limit means that none are left.';

alter function prune_idempotency_keys(bigint, int) owner to discuss_system;
revoke all on function prune_idempotency_keys(bigint, int) from public;
grant execute on function prune_idempotency_keys(bigint, int) to discuss_service;
