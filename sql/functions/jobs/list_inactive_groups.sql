create or replace function list_inactive_groups(_age_ms bigint, _limit int)
returns table (tenant_id bigint, channel_id bigint)
language sql stable security definer
set search_path = public, pg_temp
begin atomic
  select c.tenant_id, c.id
  from channels c
  where c.type = 'GROUP'
    and not c.is_archived
    and c.deleted_at is null
    and greatest(c.last_message_at, c.updated_at, c.created_at) < retention_cutoff(c.tenant_id, c.id, 'inactive', _age_ms, (select retention_now()))
    and not is_held(c.tenant_id, c.id, '{}')
  limit _limit;
end;
comment on function list_inactive_groups(bigint, int) is
  'Groups without a message or another change for the period of their tenant or channel, on which there is no legal hold. Reads all channels.';

alter function list_inactive_groups(bigint, int) owner to discuss_system;
revoke all on function list_inactive_groups(bigint, int) from public;
grant execute on function list_inactive_groups(bigint, int) to discuss_service;
