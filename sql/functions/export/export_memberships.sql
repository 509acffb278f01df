create or replace function export_memberships(_tenant_id bigint, _user_id bigint, _after bigint, _limit int)
returns table (key bigint, line text)
language sql stable security definer
set search_path = public, pg_temp
begin atomic
  select
    l.channel_id,
    jsonb_strip_nulls(jsonb_build_object(
      'kind', 'membership', 'channelId', c.id::text, 'channelType', c.type, 'channelName', c.name, 'role', m.role,
      'status', m.status, 'joinTime', export_time(m.joined_at), 'leaveTime', export_time(m.left_at),
      'readMessageId', m.last_read_msg_id::text, 'muted', m.is_muted, 'pinned', m.is_pinned,
      'notificationLevel', m.notification_level, 'metadata', m.metadata
    ))::text
  from list_member_channels(_tenant_id, _user_id, _after, _limit) as l
  join channels c on c.id = l.channel_id
  join channel_members m on m.channel_id = l.channel_id and m.user_id = _user_id
  order by l.channel_id;
end;
comment on function export_memberships(bigint, bigint, bigint, int) is
  'Lines of the channels of which a user is or was a member, after a channel, for ExportUser. Checks no rights.';

alter function export_memberships(bigint, bigint, bigint, int) owner to discuss_system;
revoke all on function export_memberships(bigint, bigint, bigint, int) from public;
grant execute on function export_memberships(bigint, bigint, bigint, int) to discuss_service;
