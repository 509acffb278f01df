grant select, insert, update on channels, channel_members, activity_feed, thread_followers, user_statuses to discuss_service;
-- Not the columns that refer to other rows: only functions that lock those rows write them.
grant
  select,
  insert (channel_id, sender_id, tenant_id, content, message_type, mentions, metadata, created_at, updated_at),
  update (content, mentions, metadata, reactions, is_edited, edited_at, pinned_at, pinned_by, pin_seq, event_seq, file_names,
    encrypted_content, updated_at)
on messages to discuss_service;
grant select, insert, update, delete on attachments, channel_entity_aliases to discuss_service;
grant select, insert, delete on message_edits, poll_votes to discuss_service;
grant select, insert on idempotency_keys to discuss_service;
grant select on deleted_posts, channel_events to discuss_service;
-- These have no policy for the service, so it sees no rows in them.
grant select on
  storage_usage, object_deletions, event_log_state, channel_names, search_words, message_words, pending_activities,
  schema_migrations
to discuss_service;
grant usage on sequence
  channels_id_seq, channel_members_id_seq, messages_id_seq, attachments_id_seq, activity_feed_id_seq
to discuss_service;

grant select, insert, update, delete on
  channels, channel_members, messages, deleted_posts, attachments, activity_feed, channel_events, event_log_state,
  idempotency_keys, message_edits, thread_followers, poll_votes, channel_names, search_words, message_words,
  channel_entity_aliases, user_statuses, storage_usage, object_deletions, pending_activities
to discuss_system;
grant usage, select on all sequences in schema public to discuss_system;
