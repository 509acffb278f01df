create or replace function count_tenants() returns bigint
language sql stable security definer
set search_path = public, pg_temp
begin atomic
  -- Uses the index to skip from tenant to tenant, instead of reading all channels.
  with recursive tenants as (
    (select c.tenant_id from channels c order by c.tenant_id limit 1)
    union all
    select (select c.tenant_id from channels c where c.tenant_id > t.tenant_id order by c.tenant_id limit 1)
    from tenants t
    where t.tenant_id is not null
  )
  select count(t.tenant_id)
  from tenants t
  where current_setting('app.role', true) = 'operator';
end;
comment on function count_tenants() is
  'Number of tenants that have or had a channel. For operators; 0 for other callers.';

alter function count_tenants() owner to discuss_system;
revoke all on function count_tenants() from public;
grant execute on function count_tenants() to discuss_service;
