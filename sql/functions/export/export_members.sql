create or replace function export_members(_tenant_id bigint, _channel_id bigint, _after bigint, _limit int)
returns table (key bigint, line text)
language sql stable security definer
set search_path = public, pg_temp
begin atomic
  select
    m.user_id,
    jsonb_strip_nulls(jsonb_build_object(
      'kind', 'member', 'userId', m.user_id::text, 'role', m.role, 'status', m.status, 'joinTime', export_time(m.joined_at),
      'leaveTime', export_time(m.left_at), 'removerId', m.removed_by::text, 'readMessageId', m.last_read_msg_id::text
    ))::text
  from channel_members m
  where m.tenant_id = _tenant_id
    and m.channel_id = _channel_id
    and m.user_id > _after
  order by m.user_id
  limit _limit;
end;
comment on function export_members(bigint, bigint, bigint, int) is
  'Lines of the current and former members of a channel after a user, for ExportChannel. Checks no rights.';

alter function export_members(bigint, bigint, bigint, int) owner to discuss_system;
revoke all on function export_members(bigint, bigint, bigint, int) from public;
grant execute on function export_members(bigint, bigint, bigint, int) to discuss_service;
