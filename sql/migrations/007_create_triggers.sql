-- The trigger functions are owned by discuss_system and are security definer: a user who leaves a channel can no longer see
-- it under row-level security, so that the caller's own rights would not reach the counters.

\ir ../functions/message/assign_post_seq.sql

create trigger trigger_assign_post_seq
before insert on messages
for each row
when (new.post_seq is null)
execute function assign_post_seq();
comment on trigger trigger_assign_post_seq on messages is 'Numbers messages that are inserted without a number.';

\ir ../functions/message/update_unread_counts.sql

create trigger trigger_update_unread_counts
after insert on messages
for each row
when (new.is_deleted or new.notice is not null)
execute function update_unread_counts();
comment on trigger trigger_update_unread_counts on messages is
  'Records a message that never counts as unread: a notice, or one inserted as deleted.';

create trigger trigger_update_unread_counts_on_update
after update of is_deleted on messages
for each row
when (old.is_deleted is distinct from new.is_deleted)
execute function update_unread_counts();
comment on trigger trigger_update_unread_counts_on_update on messages is
  'Records that a message was deleted or restored.';

create trigger trigger_update_unread_counts_on_delete
after delete on messages
referencing old table as removed
for each statement
execute function update_unread_counts();
comment on trigger trigger_update_unread_counts_on_delete on messages is
  'Records rows that are removed without having been soft-deleted before.';

\ir ../functions/channel/update_channel_stats.sql

create trigger trigger_update_channel_stats
after insert on messages
for each row
when (new.event_seq = 0 and new.notice is null)
execute function update_channel_stats();
comment on trigger trigger_update_channel_stats on messages is
  'Counts messages inserted by plain SQL; send_messages() counts its own.';

-- A trigger with transition tables can have one operation only.
create trigger trigger_update_channel_stats_on_delete
after delete on messages
referencing old table as removed
for each statement
execute function update_channel_stats();
comment on trigger trigger_update_channel_stats_on_delete on messages is 'Counts removed rows.';

\ir ../functions/member/is_member_status.sql
\ir ../functions/member/update_member_count.sql

create trigger trigger_update_member_count
after insert on channel_members
referencing new table as added
for each statement
execute function update_member_count();
comment on trigger trigger_update_member_count on channel_members is 'Counts new members.';

-- A row trigger, because each message updates its sender's row: a statement trigger would collect those rows for nothing.
create trigger trigger_update_member_count_on_update
after update of status on channel_members
for each row
when (is_member_status(old.status) != is_member_status(new.status))
execute function update_member_count();
comment on trigger trigger_update_member_count_on_update on channel_members is 'Counts members whose status changes.';

create trigger trigger_update_member_count_on_delete
after delete on channel_members
referencing old table as removed
for each statement
execute function update_member_count();
comment on trigger trigger_update_member_count_on_delete on channel_members is 'Counts removed rows.';

\ir ../functions/member/settle_member_unread.sql

create trigger trigger_settle_member_unread
before insert or update of status, last_read_msg_id, read_post_seq, own_posts_read on channel_members
for each row
execute function settle_member_unread();
comment on trigger trigger_settle_member_unread on channel_members is
  'Stores the exact unread_count whenever the read marker moves.';

\ir ../functions/message/mark_message_changed.sql

-- The columns that responses contain. The service sets event_seq together with each of them, so it never fires this trigger.
-- parent_id is not among them: it changes when the root message is removed, which is counted, and when rows move to another
-- partition.
create trigger trigger_mark_message_changed
after update of
  channel_id, sender_id, content, message_type, mentions, mention_scope, also_in_channel, thread_count,
  thread_user_count, thread_users, last_reply_at, edited_at, deleted_at, deleted_by, is_deleted, metadata, notice, reactions,
  pinned_at, pinned_by, post_seq, created_at
on messages
for each row
when (old.event_seq = new.event_seq)
execute function mark_message_changed();
comment on trigger trigger_mark_message_changed on messages is 'Records that plain SQL changed a message.';

\ir ../functions/search/update_channel_name.sql

-- Fires only for statements that set the name, so not for each message.
create trigger trigger_update_channel_name
after insert or update of name on channels
for each row
when (new.type != 'DIRECT')
execute function update_channel_name();
comment on trigger trigger_update_channel_name on channels is 'Keeps channel_names up to date.';

\ir ../functions/search/update_message_words.sql

create trigger trigger_index_inserted_message
after insert on messages
for each row
when (new.event_seq = 0 and new.notice is null)
execute function update_message_words();
comment on trigger trigger_index_inserted_message on messages is 'Indexes messages that plain SQL inserts.';

create trigger trigger_index_changed_message
after update of content, message_type, sender_id, channel_id, is_deleted on messages
for each row
when (old.event_seq = new.event_seq)
execute function update_message_words();
comment on trigger trigger_index_changed_message on messages is 'Indexes messages that plain SQL changes.';

create trigger trigger_remove_message_words
after delete on messages
referencing old table as removed
for each statement
execute function update_message_words();
comment on trigger trigger_remove_message_words on messages is 'Removes the words of removed messages.';

\ir ../functions/attachment/release_storage.sql

create trigger trigger_release_storage
after delete on attachments
referencing old table as removed
for each statement
execute function release_storage();
comment on trigger trigger_release_storage on attachments is
  'Queues the objects of removed files for deletion and releases their quota.';

\ir ../functions/message/delete_channel_messages.sql

create trigger trigger_delete_channel_messages
after delete on channels
referencing old table as removed
for each statement
execute function delete_channel_messages();
comment on trigger trigger_delete_channel_messages on channels is 'Removes the messages of removed channels.';

\ir ../functions/message/delete_message_references.sql

create trigger trigger_delete_message_references
after delete on messages
referencing old table as removed
for each statement
execute function delete_message_references();
comment on trigger trigger_delete_message_references on messages is 'Removes the files and activities of removed messages.';

\ir ../functions/thread/detach_replies.sql

create trigger trigger_detach_replies
after delete on messages
referencing old table as removed
for each statement
execute function detach_replies();
comment on trigger trigger_detach_replies on messages is 'Detaches the replies to removed messages.';
