create or replace function retention_bounds(_kind text, _age_ms bigint, out shortest bigint, out longest bigint)
language sql stable
set search_path = public, pg_temp
begin atomic
  select
    least(_age_ms, min(nullif(r.days, 0)) * 86400000::bigint),
    case
      when _age_ms is null or coalesce(bool_or(r.days = 0), false) then null
      else greatest(_age_ms, max(r.days) * 86400000::bigint)
    end
  from (
    select rule_days(r, _kind) as days
    from retention_rules r
  ) as r;
end;
comment on function retention_bounds(text, bigint) is
  'The shortest and the longest period of all rules and the configured one, in ms. shortest is null if nothing ever expires, longest if something never does.';

revoke all on function retention_bounds(text, bigint) from public;
grant execute on function retention_bounds(text, bigint) to discuss_system;
