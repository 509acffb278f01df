-- Caches of a channel's messages are valid while channels.event_seq and unread_version are unchanged. The service changes a
-- message only with an event; this trigger covers plain SQL.
create or replace function mark_message_changed() returns trigger
language plpgsql security definer
set search_path = public, pg_temp
as $$
begin
  update channels c
  set unread_version = c.unread_version + 1
  where c.id in (old.channel_id, new.channel_id);
  return null;
end
$$;
comment on function mark_message_changed() is
  'Increments channels.unread_version for a message that was changed without an event.';

alter function mark_message_changed() owner to discuss_system;
revoke all on function mark_message_changed() from public;
