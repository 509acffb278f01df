create or replace function reject_audit_change() returns trigger
language plpgsql
as $$
begin
  raise exception 'the audit log is append-only' using errcode = 'insufficient_privilege';
end
$$;
comment on function reject_audit_change() is 'Rejects every statement that would change or remove events of the audit log.';

revoke all on function reject_audit_change() from public;
