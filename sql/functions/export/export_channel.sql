create or replace function export_channel(_tenant_id bigint, _channel_id bigint) returns setof text
language sql stable security definer
set search_path = public, pg_temp
begin atomic
  select jsonb_strip_nulls(jsonb_build_object(
    'kind', 'channel', 'id', c.id::text, 'type', c.type, 'name', c.name, 'description', c.description,
    'entityType', c.entity_type, 'entityId', c.entity_id::text, 'private', c.is_private, 'archived', c.is_archived,
    'metadata', c.metadata, 'creatorId', c.created_by::text, 'createTime', export_time(c.created_at),
    'updateTime', export_time(c.updated_at), 'deleteTime', export_time(c.deleted_at), 'mergedInto', c.merged_into::text
  ))::text
  from channels c
  where c.tenant_id = _tenant_id
    and c.id = _channel_id;
end;
comment on function export_channel(bigint, bigint) is
  'The line of a channel for ExportChannel, also of a deleted one. Checks no rights.';

alter function export_channel(bigint, bigint) owner to discuss_system;
revoke all on function export_channel(bigint, bigint) from public;
grant execute on function export_channel(bigint, bigint) to discuss_service;
