create or replace function tell_of_changed_message() returns trigger
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
comment on function tell_of_changed_message() is
  'Counts channels.unread_version up for a message that was changed without an event.';

alter function tell_of_changed_message() owner to discuss_system;
revoke all on function tell_of_changed_message() from public;
