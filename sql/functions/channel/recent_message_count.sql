-- security definer, because the reader of trending_channels sees a public group but not its messages.
create or replace function recent_message_count(_channel_id bigint) returns bigint
language sql stable security definer
set search_path = public, pg_temp
begin atomic
  select count(*)
  from channels c
  join messages m on m.channel_id = c.id
  where c.id = _channel_id
    and c.tenant_id = app_tenant_id()
    and (
      app_is_service()
      or (c.type = 'GROUP' and not c.is_private)
      or exists (
        select 1
        from channel_members cm
        where cm.channel_id = c.id
          and cm.user_id = app_user_id()
          and is_member_status(cm.status)
      )
    )
    and m.is_deleted = false
    and m.notice is null
    and m.created_at > (select now_ms()) - 86400000;
end;
comment on function recent_message_count(bigint) is
  'Messages of the last 24 hours, without deleted messages and notices, in a channel that is visible to the caller; 0 for others.';

alter function recent_message_count(bigint) owner to discuss_system;
revoke all on function recent_message_count(bigint) from public;
grant execute on function recent_message_count(bigint) to discuss_service;
