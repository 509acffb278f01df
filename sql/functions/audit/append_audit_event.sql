create or replace function append_audit_event(
  _tenant_id bigint,
  _actor_kind text,
  _actor_id bigint,
  _action text,
  _details jsonb
) returns void
language plpgsql security definer
set search_path = public, pg_temp
as $$
declare
  _head audit_heads;
  _now bigint;
  _hash bytea;
begin
  insert into audit_heads (tenant_id, seq, hash)
  values (_tenant_id, 0, '')
  on conflict do nothing;
  select h.*
  into _head
  from audit_heads h
  where h.tenant_id = _tenant_id
  for no key update;

  _now := now_ms();
  _hash := audit_hash(_head.hash, _tenant_id, _head.seq + 1, _now, _actor_kind, _actor_id, _action, _details);
  insert into audit_events
    (tenant_id, seq, occurred_at, actor_kind, actor_id, action, details, previous_hash, hash)
  values
    (_tenant_id, _head.seq + 1, _now, _actor_kind, _actor_id, _action, _details, _head.hash, _hash);
  update audit_heads h
  set seq = _head.seq + 1,
      hash = _hash
  where h.tenant_id = _tenant_id;
end
$$;
comment on function append_audit_event(bigint, text, bigint, text, jsonb) is
  'Appends an event to the audit log of a tenant (0: of operators). Locks the head of the log until commit, after all other locks of the transaction.';

alter function append_audit_event(bigint, text, bigint, text, jsonb) owner to discuss_system;
revoke all on function append_audit_event(bigint, text, bigint, text, jsonb) from public;
grant execute on function append_audit_event(bigint, text, bigint, text, jsonb) to discuss_service;
