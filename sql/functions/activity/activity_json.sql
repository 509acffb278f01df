create or replace function activity_json(_a activity_feed, _preview text) returns json
language sql stable parallel safe
return json_build_object(
  'id', _a.id,
  'tenantId', _a.tenant_id,
  'userId', _a.user_id,
  'actionType', _a.action_type,
  'actorId', _a.actor_id,
  'entityType', _a.entity_type,
  'entityId', _a.entity_id,
  'channelId', _a.channel_id,
  'messageId', _a.message_id,
  'description', _a.description,
  'title', _a.title,
  'isRead', _a.is_read,
  'readAt', _a.read_at,
  'metadata', _a.metadata::text,
  'collapseKey', _a.collapse_key,
  'occurrences', _a.occurrences,
  'version', _a.version,
  'timestamp', _a."timestamp",
  'preview', left(_preview, 200),
  'isMessageDeleted', false
);
comment on function activity_json(activity_feed, text) is
  'A recorded activity as JSON, in the form that the streams of its user send.';
