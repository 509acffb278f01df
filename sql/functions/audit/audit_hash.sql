create or replace function audit_hash(
  _previous bytea,
  _tenant_id bigint,
  _seq bigint,
  _occurred_at bigint,
  _actor_kind text,
  _actor_id bigint,
  _action text,
  _details jsonb
) returns bytea
language sql immutable
return sha256(
  _previous
  || convert_to(
    jsonb_build_array(_tenant_id, _seq, _occurred_at, _actor_kind, _actor_id, _action, _details)::text, 'UTF8'
  )
);
comment on function audit_hash(bytea, bigint, bigint, bigint, text, bigint, text, jsonb) is
  'SHA-256 that chains an event of the audit log to the one before: over its hash and all columns of the event as a JSON array.';

revoke all on function audit_hash(bytea, bigint, bigint, bigint, text, bigint, text, jsonb) from public;
grant execute on function audit_hash(bytea, bigint, bigint, bigint, text, bigint, text, jsonb) to discuss_system;
