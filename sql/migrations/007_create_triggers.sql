\ir ../functions/message/assign_post_seq.sql

create trigger trigger_assign_post_seq
before insert on messages
for each row
when (new.post_seq is null)
execute function assign_post_seq();
comment on trigger trigger_assign_post_seq on messages is 'Numbers messages that come without a number.';

\ir ../functions/message/update_unread_counts.sql

create trigger trigger_update_unread_counts
after insert on messages
for each row
when (new.is_deleted or new.notice is not null)
execute function update_unread_counts();
comment on trigger trigger_update_unread_counts on messages is
  'Notes a message that counts for nobody from the start: a notice, or one inserted as deleted.';

create trigger trigger_update_unread_counts_on_update
after update of is_deleted on messages
for each row
when (old.is_deleted is distinct from new.is_deleted)
execute function update_unread_counts();
comment on trigger trigger_update_unread_counts_on_update on messages is 'Notes a message that gets deleted, or comes back.';

create trigger trigger_update_unread_counts_on_delete
after delete on messages
referencing old table as removed
for each statement
execute function update_unread_counts();
comment on trigger trigger_update_unread_counts_on_delete on messages is 'Notes messages that are removed without having been deleted before.';

\ir ../functions/channel/update_channel_stats.sql

create trigger trigger_update_channel_stats
after insert on messages
for each row
when (new.event_seq = 0 and new.notice is null)
execute function update_channel_stats();
comment on trigger trigger_update_channel_stats on messages is
  'Counts messages that plain SQL inserts; those with an event are counted by what posts them.';

-- One trigger per operation, as transition tables do not allow two in one.
create trigger trigger_update_channel_stats_on_delete
after delete on messages
referencing old table as removed
for each statement
execute function update_channel_stats();
comment on trigger trigger_update_channel_stats_on_delete on messages is 'Counts off messages removed for good.';

\ir ../functions/member/update_member_count.sql

create trigger trigger_update_member_count
after insert on channel_members
referencing new table as added
for each statement
execute function update_member_count();
comment on trigger trigger_update_member_count on channel_members is 'Counts new members.';

-- Of rows, as who posts has their row updated too: a trigger of statements would collect these for nothing.
create trigger trigger_update_member_count_on_update
after update of status on channel_members
for each row
when ((old.status = 'ACTIVE') != (new.status = 'ACTIVE'))
execute function update_member_count();
comment on trigger trigger_update_member_count_on_update on channel_members is 'Counts members whose status changes.';

create trigger trigger_update_member_count_on_delete
after delete on channel_members
referencing old table as removed
for each statement
execute function update_member_count();
comment on trigger trigger_update_member_count_on_delete on channel_members is 'Counts off removed rows.';

\ir ../functions/member/settle_member_unread.sql

create trigger trigger_settle_member_unread
before insert or update of status, last_read_msg_id, read_post_seq, own_posts_read on channel_members
for each row
execute function settle_member_unread();
comment on trigger trigger_settle_member_unread on channel_members is 'Settles unread_count with every move of the read marker.';

\ir ../functions/message/mark_message_changed.sql

-- Of the columns that answers show. The service sets event_seq with each of them, so for it nothing is called.
-- Not of parent_id: it changes when its message is removed, which is counted, and when partitions are mended.
create trigger trigger_mark_message_changed
after update of
  channel_id, sender_id, content, message_type, mentions, mention_scope, also_in_channel, thread_count,
  thread_user_count, thread_users, last_reply_at, edited_at, deleted_at, deleted_by, is_deleted, metadata, notice, reactions,
  pinned_at, pinned_by, post_seq, created_at
on messages
for each row
when (old.event_seq = new.event_seq)
execute function mark_message_changed();
comment on trigger trigger_mark_message_changed on messages is 'Notes a message that plain SQL changes.';

\ir ../functions/search/update_channel_name.sql

-- Fires for statements that set the name, so not for messages.
create trigger trigger_update_channel_name
after insert or update of name on channels
for each row
when (new.type != 'DIRECT')
execute function update_channel_name();
comment on trigger trigger_update_channel_name on channels is 'Keeps the name that SearchChannels looks at.';
