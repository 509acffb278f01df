create or replace function list_audit_events(_tenant_id bigint, _before bigint, _limit int)
returns table (
  seq bigint,
  occurred_at bigint,
  actor_kind text,
  actor_id bigint,
  action text,
  details text,
  hash bytea
)
language sql stable security definer
set search_path = public, pg_temp
begin atomic
  select e.seq, e.occurred_at, e.actor_kind::text, e.actor_id, e.action::text, e.details::text, e.hash
  from audit_events e
  where e.tenant_id = _tenant_id
    and e.seq < _before
  order by e.seq desc
  limit _limit;
end;
comment on function list_audit_events(bigint, bigint, int) is 'Events of an audit log before a number, newest first. For operators.';

alter function list_audit_events(bigint, bigint, int) owner to discuss_system;
revoke all on function list_audit_events(bigint, bigint, int) from public;
grant execute on function list_audit_events(bigint, bigint, int) to discuss_service;
