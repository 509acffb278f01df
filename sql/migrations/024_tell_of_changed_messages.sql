-- channels.event_seq and unread_version say together whether anything of a channel's messages may have changed: what is
-- kept of them elsewhere (caches) is as it is here for as long as both are the same. The service changes no message
-- without an event; this is for plain SQL, and for removing messages for good.

create function tell_of_changed_message() returns trigger
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

-- Of the columns that answers show. The service sets event_seq with each of them, so for it nothing is called.
-- Not of parent_id: it changes when its message is removed, which is counted, and when partitions are mended.
create trigger trigger_tell_of_changed_message
after update of
  channel_id, sender_id, content, message_type, mentions, mention_scope, also_in_channel, thread_count,
  thread_user_count, thread_users, last_reply_at, edited_at, deleted_at, deleted_by, is_deleted, metadata, notice, reactions,
  pinned_at, pinned_by, post_seq, created_at
on messages
for each row
when (old.event_seq = new.event_seq)
execute function tell_of_changed_message();
comment on trigger trigger_tell_of_changed_message on messages is 'Notes a message that plain SQL changes.';

comment on column channels.unread_version is
  'Counted up whenever unread numbers of the channel may change, and by what changes messages without an event.';

-- Numbers come back when a backup is restored. The server was started since then, or the tables are others.
create function database_epoch() returns text
language sql stable parallel safe
set search_path = public, pg_temp
return hashtextextended(
  current_database() || ' ' || 'channels'::regclass::oid || ' ' || extract(epoch from pg_postmaster_start_time()), 0
)::text;
comment on function database_epoch() is
  'Tells this database from others, and from itself before it was restored: what is kept elsewhere under another one is void. Changes whenever PostgreSQL is started.';

revoke all on function database_epoch() from public;
grant execute on function database_epoch() to discuss_service;
