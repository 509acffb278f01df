create or replace function retention_cutoff(_tenant_id bigint, _channel_id bigint, _kind text, _age_ms bigint, _now bigint)
returns bigint
language sql stable
set search_path = public, pg_temp
begin atomic
  select
    _now - case
      when coalesce(c.days, t.days) is null then _age_ms
      else nullif(coalesce(c.days, t.days), 0) * 86400000::bigint
    end
  from (
    select (
      select rule_days(r, _kind)
      from retention_rules r
      where r.tenant_id = _tenant_id and r.channel_id = 0
    ) as days
  ) as t
  cross join (
    select (
      select rule_days(r, _kind)
      from retention_rules r
      where r.tenant_id = _tenant_id and r.channel_id = _channel_id and _channel_id > 0
    ) as days
  ) as c;
end;
comment on function retention_cutoff(bigint, bigint, text, bigint, bigint) is
  'Time before which rows of a channel (or 0) are expired: by the rule of the channel, else that of the tenant, else _age_ms before _now. Null: never. _kind is deleted, activity, inactive, export or log.';

revoke all on function retention_cutoff(bigint, bigint, text, bigint, bigint) from public;
grant execute on function retention_cutoff(bigint, bigint, text, bigint, bigint) to discuss_system;
