create or replace function app_is_service() returns boolean
language sql stable parallel safe
return coalesce(current_setting('app.role', true) = 'service', false);
comment on function app_is_service() is
  'Whether the caller is a service with rights over its whole tenant: the setting app.role is ''service''.';
