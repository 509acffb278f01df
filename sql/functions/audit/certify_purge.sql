create or replace function certify_purge(_purged jsonb, _action text, _rule jsonb) returns void
language plpgsql security definer
set search_path = public, pg_temp
as $$
declare
  _part record;
begin
  -- In the order of tenants, so that two purges do not wait for each other.
  for _part in
    select p.tenant_id, p.details
    from (select (e ->> 'tenant_id')::bigint as tenant_id, e - 'tenant_id' as details from jsonb_array_elements(_purged) as e) as p
    order by p.tenant_id
  loop
    perform append_audit_event(_part.tenant_id, 'job', 0, _action, _part.details || _rule);
  end loop;
end
$$;
comment on function certify_purge(jsonb, text, jsonb) is
  'Records in the audit log of each tenant what a purge removed: [{"tenant_id": 1, "count": 2, "first_id": "3", "last_id": "4"}], and the rule that applied. In the transaction of the purge, so a certificate exists for exactly what was removed.';

alter function certify_purge(jsonb, text, jsonb) owner to discuss_system;
revoke all on function certify_purge(jsonb, text, jsonb) from public;
