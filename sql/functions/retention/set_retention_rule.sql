create or replace function set_retention_rule(
  _tenant_id bigint,
  _channel_id bigint,
  _deleted_days int,
  _activity_days int,
  _inactive_days int,
  _export_days int,
  _log_days int
) returns void
language plpgsql security definer
set search_path = public, pg_temp
as $$
begin
  if num_nonnulls(_deleted_days, _activity_days, _inactive_days, _export_days, _log_days) = 0 then
    delete from retention_rules r where r.tenant_id = _tenant_id and r.channel_id = _channel_id;
    return;
  end if;
  insert into retention_rules as r
    (tenant_id, channel_id, deleted_days, activity_days, inactive_days, export_days, log_days, updated_at)
  values
    (_tenant_id, _channel_id, _deleted_days, _activity_days, _inactive_days, _export_days, _log_days, now_ms())
  on conflict (tenant_id, channel_id) do update
  set deleted_days = excluded.deleted_days,
      activity_days = excluded.activity_days,
      inactive_days = excluded.inactive_days,
      export_days = excluded.export_days,
      log_days = excluded.log_days,
      updated_at = excluded.updated_at;
end
$$;
comment on function set_retention_rule(bigint, bigint, int, int, int, int, int) is
  'Sets the periods of a tenant (_channel_id 0) or of a channel; all null: removes the rule. For operators.';

alter function set_retention_rule(bigint, bigint, int, int, int, int, int) owner to discuss_system;
revoke all on function set_retention_rule(bigint, bigint, int, int, int, int, int) from public;
grant execute on function set_retention_rule(bigint, bigint, int, int, int, int, int) to discuss_service;
