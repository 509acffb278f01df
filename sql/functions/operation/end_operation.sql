create or replace function end_operation(
  _operation operations,
  _state text,
  _error bytea,
  _actor_kind text,
  _actor_id bigint
) returns operations
language plpgsql
set search_path = public, pg_temp
as $$
begin
  update operations o
  set state = _state,
      error = _error,
      progress = '{}',
      updated_at = t.now,
      finished_at = t.now
  from (select now_ms() as now) as t
  where o.id = _operation.id
  returning o.* into _operation;
  perform append_audit_event(
    _operation.tenant_id, _actor_kind, _actor_id, 'OPERATION_' || _state,
    jsonb_build_object(
      'operation_id', _operation.id::text, 'kind', _operation.kind, 'user_id', _operation.user_id::text,
      'counts', _operation.counts
    )
  );
  return _operation;
end
$$;
comment on function end_operation(operations, text, bytea, text, bigint) is
  'Ends an operation that is locked and in progress, and records in the audit log what it has done.';

alter function end_operation(operations, text, bytea, text, bigint) owner to discuss_system;
revoke all on function end_operation(operations, text, bytea, text, bigint) from public;
