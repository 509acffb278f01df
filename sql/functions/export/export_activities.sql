create or replace function export_activities(
  _tenant_id bigint,
  _user_id bigint,
  _after_time bigint,
  _after_id bigint,
  _limit int
)
returns table (key bigint, part bigint, line text)
language sql stable security definer
set search_path = public, pg_temp
begin atomic
  select
    a."timestamp", a.id,
    jsonb_strip_nulls(jsonb_build_object(
      'kind', 'activity', 'id', a.id::text, 'type', a.action_type, 'actorId', a.actor_id::text, 'entityType', a.entity_type,
      'entityId', a.entity_id::text, 'channelId', a.channel_id::text, 'messageId', a.message_id::text, 'title', a.title,
      'description', a.description, 'read', a.is_read, 'metadata', a.metadata, 'eventTime', export_time(a."timestamp")
    ))::text
  from activity_feed a
  where a.tenant_id = _tenant_id
    and a.user_id = _user_id
    and a."timestamp" >= _after_time
    and (a."timestamp", a.id) > (_after_time, _after_id)
  order by a."timestamp", a.id
  limit _limit;
end;
comment on function export_activities(bigint, bigint, bigint, bigint, int) is
  'Lines of the feed of a user after (_after_time, _after_id), oldest first, for ExportUser. Checks no rights.';

alter function export_activities(bigint, bigint, bigint, bigint, int) owner to discuss_system;
revoke all on function export_activities(bigint, bigint, bigint, bigint, int) from public;
grant execute on function export_activities(bigint, bigint, bigint, bigint, int) to discuss_service;
