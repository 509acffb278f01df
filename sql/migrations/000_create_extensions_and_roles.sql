create extension if not exists pgcrypto;
create extension if not exists pg_trgm;
create extension if not exists unaccent;

-- discuss_service has the rights of the service, whose login role is a member of it. It owns nothing and bypasses nothing.
-- discuss_system owns the functions that work across callers; each of them checks rights itself.
-- Roles belong to the whole cluster: a migration of another database may create them at the same time, and an operator may
-- have created them before because the owner of this database lacks createrole.
do $$
declare
  _role text;
  _is_16 constant boolean := current_setting('server_version_num')::int >= 160000;
begin
  foreach _role in array array['discuss_service', 'discuss_system'] loop
    if not exists (select 1 from pg_roles r where r.rolname = _role) then
      begin
        execute format('create role %I nologin', _role);
      exception
        when duplicate_object or unique_violation then
          null;
      end;
    end if;
  end loop;

  -- The owner assigns functions to discuss_system (needs set) and reads tables by its policies, because row-level security
  -- is forced on owners too (needs inherit). From PostgreSQL 16 on, the creator of a role gets neither automatically.
  if not pg_has_role('discuss_system', 'usage')
    or (_is_16 and not pg_has_role('discuss_system', case when _is_16 then 'set' else 'usage' end)) then
    begin
      execute format(
        'grant discuss_system to %I%s', current_user, case when _is_16 then ' with inherit true, set true' else '' end
      );
    exception
      when unique_violation then
        null;
    end;
  end if;
end
$$;

grant usage on schema public to discuss_service, discuss_system;
-- A function can only be assigned to a role that may create objects in its schema.
grant create on schema public to discuss_system;
