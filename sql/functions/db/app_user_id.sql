create or replace function app_user_id() returns bigint
language sql stable parallel safe
return nullif(current_setting('app.user_id', true), '')::bigint;
comment on function app_user_id() is
  'User who calls, or for whom a service acts, from the setting app.user_id; null if unset.';
