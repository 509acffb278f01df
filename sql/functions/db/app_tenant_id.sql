create or replace function app_tenant_id() returns bigint
language sql stable parallel safe
return nullif(current_setting('app.tenant_id', true), '')::bigint;
comment on function app_tenant_id() is
  'Tenant of the caller, from the setting app.tenant_id; null if unset, which matches no policy.';
