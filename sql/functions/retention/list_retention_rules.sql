create or replace function list_retention_rules(_tenant_id bigint, _after bigint, _limit int)
returns setof retention_rules
language sql stable security definer
set search_path = public, pg_temp
begin atomic
  select r.*
  from retention_rules r
  where r.tenant_id = _tenant_id
    and r.channel_id > _after
  order by r.channel_id
  limit _limit;
end;
comment on function list_retention_rules(bigint, bigint, int) is
  'Rules of a tenant after a channel, its own (channel 0) first. For operators.';

alter function list_retention_rules(bigint, bigint, int) owner to discuss_system;
revoke all on function list_retention_rules(bigint, bigint, int) from public;
grant execute on function list_retention_rules(bigint, bigint, int) to discuss_service;
