create or replace function start_operation(_tenant_id bigint, _kind text, _user_id bigint, _actor_id bigint)
returns operations
language plpgsql security definer
set search_path = public, pg_temp
as $$
declare
  _operation operations;
  _now constant bigint := now_ms();
begin
  insert into operations (tenant_id, kind, user_id, created_at, created_by, updated_at, due_at)
  values (_tenant_id, _kind, _user_id, _now, _actor_id, _now, _now)
  on conflict do nothing
  returning * into _operation;
  if not found then
    select o.*
    into _operation
    from operations o
    where o.tenant_id = _tenant_id
      and o.kind = _kind
      and o.user_id = _user_id
      and o.finished_at is null;
  end if;
  return _operation;
end
$$;
comment on function start_operation(bigint, text, bigint, bigint) is
  'Starts an operation on a user, or returns the one that is in progress; null if that one has ended at this moment. For operators.';

alter function start_operation(bigint, text, bigint, bigint) owner to discuss_system;
revoke all on function start_operation(bigint, text, bigint, bigint) from public;
grant execute on function start_operation(bigint, text, bigint, bigint) to discuss_service;
