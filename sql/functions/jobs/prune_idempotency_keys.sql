create or replace function prune_idempotency_keys(_age_ms bigint, _limit int) returns int
language plpgsql security definer
set search_path = public, pg_temp
as $$
declare
  _before constant bigint := retention_now() - _age_ms;
  _pruned int;
begin
  if _age_ms < 86400000 then
    raise exception 'request ids must be kept for at least one day, not % ms', _age_ms
      using errcode = 'invalid_parameter_value';
  end if;
  with old_keys as materialized (
    select k.tenant_id, k.user_id, k.request_id
    from idempotency_keys k
    where k.created_at < _before
    order by k.created_at
    limit _limit
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
  'Removes at most _limit keys older than _age_ms by the clock of the database, and returns how many; less than _limit means that none are left.';

alter function prune_idempotency_keys(bigint, int) owner to discuss_system;
revoke all on function prune_idempotency_keys(bigint, int) from public;
grant execute on function prune_idempotency_keys(bigint, int) to discuss_service;
