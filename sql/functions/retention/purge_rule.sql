create or replace function purge_rule(_kind text, _age_ms bigint) returns jsonb
language sql volatile
set search_path = public, pg_temp
begin atomic
  select jsonb_build_object(
    'kind', _kind,
    'default_age_ms', _age_ms,
    'time_ms', retention_now()
  );
end;
comment on function purge_rule(text, bigint) is
  'What a certificate states of the rule of a purge. The periods of a tenant and its channels are in the audit log when they are set.';

revoke all on function purge_rule(text, bigint) from public;
grant execute on function purge_rule(text, bigint) to discuss_system;
