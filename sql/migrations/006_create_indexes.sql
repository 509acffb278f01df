-- channels

-- Channels of a tenant by type, archived or not: browsing public groups. With the id: ListTenantChannels.
create index idx_channels_tenant_type
  on channels (tenant_id, type, is_archived, id);

-- One DIRECT channel per pair of users, in either order; a user with themselves is a pair too. See direct_has_peer.
create unique index idx_direct_channel_unique
  on channels (tenant_id, least(created_by, entity_id), greatest(created_by, entity_id))
  where type = 'DIRECT' and deleted_at is null;

-- One TOPIC channel per entity: GetOrCreateTopicChannel.
create unique index idx_topic_channel_unique
  on channels (tenant_id, entity_type, entity_id)
  where type = 'TOPIC' and deleted_at is null and merged_into is null;

-- Channels whose stored unread numbers may be stale: settle_unread().
create index idx_channels_unsettled
  on channels (id)
  where is_unsettled;

-- Deleted channels: purge_deleted_channels().
create index idx_channels_deleted
  on channels (deleted_at)
  where deleted_at is not null;

-- messages

-- History of a channel by time, without deleted messages: trending, filters by date.
create index idx_messages_channel_time
  on messages (channel_id, created_at desc)
  where is_deleted = false;

-- History of a channel in the order of its messages: ListMessages, previews, the cascade from channels.
create index idx_messages_channel_id
  on messages (channel_id, id desc);

-- Soft-deleted messages by age: purge_deleted_messages().
create index idx_messages_deleted
  on messages (deleted_at)
  where is_deleted and not is_kept;

-- Messages that purges pass by: drop_unheld().
create index idx_messages_kept
  on messages (tenant_id)
  where is_kept;

-- Replies in their order: ListThread, and the unread replies of a thread.
create index idx_messages_thread
  on messages (parent_id, id)
  where parent_id is not null;

-- Pinned messages of a channel, latest first: ListPins.
create index idx_messages_pinned
  on messages (channel_id, pin_seq desc)
  where pin_seq is not null;

-- Messages of a channel with mentions: unread mentions of ListChannels and GetUnreadSummary.
create index idx_messages_mentioning
  on messages (channel_id, id)
  where mentions != '{}' or mention_scope = 'CHANNEL';

-- channel_members

-- Channels of a user, pinned first: view user_channels.
create index idx_channel_members_user
  on channel_members (user_id, tenant_id, is_pinned desc, updated_at desc)
  where status = 'ACTIVE';

-- Members of a channel. No statement of the service; see docs/schema-notes.md.
create index idx_channel_members_channel
  on channel_members (channel_id, status)
  where status = 'ACTIVE';

-- Owners and admins of a channel. No statement of the service; see docs/schema-notes.md.
create index idx_channel_members_role
  on channel_members (channel_id, role)
  where status = 'ACTIVE';

-- The document's indexes above contain ACTIVE members only, while members are ACTIVE or MUTED, and none has the members of
-- a channel in the order of ListMembers: a page of them in a channel of 15,000 members took 155 ms and takes 1.8 ms.
-- Both predicates are the body of is_member_status(), which PostgreSQL inlines into queries.

-- Channels of a user: ListChannels, GetUnreadSummary, Subscribe.
create index idx_channel_members_active
  on channel_members (tenant_id, user_id)
  where status in ('ACTIVE', 'MUTED');

-- Channels that a user has left: EraseUser, ExportUser.
create index idx_channel_members_former
  on channel_members (tenant_id, user_id)
  where status in ('LEFT', 'REMOVED');

-- Members of a channel by role and then by user: ListMembers, and whether another owner remains.
create index idx_channel_members_rank
  on channel_members (
    tenant_id,
    channel_id,
    (case role when 'OWNER' then 1 when 'ADMIN' then 2 when 'MEMBER' then 3 else 4 end),
    user_id
  )
  where status in ('ACTIVE', 'MUTED');

-- attachments

-- Files of a message: also delete_message_references().
create index idx_attachments_message
  on attachments (message_id);

-- Files of a channel, newest first: ListAttachments.
create index idx_attachments_channel
  on attachments (channel_id, created_at desc);

-- Files of a tenant by MIME type. No statement of the service; see docs/schema-notes.md.
create index idx_attachments_tenant_type
  on attachments (tenant_id, file_type, created_at desc);

-- Files that wait for the virus scanner.
create index idx_attachments_scan
  on attachments (scan_status)
  where scan_status = 'PENDING';

-- Uploads that are in no message, by age: remove_abandoned_uploads().
create index idx_attachments_unsent
  on attachments (created_at)
  where message_id is null;

-- Files and deletions by key: list_object_keys().
create index idx_attachments_key
  on attachments (s3_key collate "C");
create index idx_attachments_thumbnail
  on attachments (thumbnail_url collate "C")
  where thumbnail_url is not null;
create index idx_object_deletions_key
  on object_deletions (s3_key collate "C");

-- Objects that are due: claim_object_deletions().
create index idx_object_deletions_due
  on object_deletions (due_at);

-- Members whose activities contain the messages of a channel: record_sent_messages().
create index idx_channel_members_messages
  on channel_members (channel_id)
  where wants_messages;

-- activity_feed

-- Activities of a user, newest first: ListActivities.
create index idx_activity_feed_user_time
  on activity_feed (user_id, tenant_id, "timestamp" desc);

-- Unread activities of a user: GetActivityCounts.
create index idx_activity_feed_unread
  on activity_feed (user_id, is_read, "timestamp" desc)
  where is_read = false;

-- Activities of an entity, newest first: list_entity_activities().
create index idx_activity_feed_entity
  on activity_feed (tenant_id, entity_type, entity_id, "timestamp" desc, id desc)
  where entity_type is not null;

-- Activities of a channel, and the cascade from channels.
create index idx_activity_feed_channel
  on activity_feed (channel_id, "timestamp" desc)
  where channel_id is not null;

-- delete_message_references(): without this index, each removed message reads the whole feed.
create index idx_activity_feed_message
  on activity_feed (message_id)
  where message_id is not null;

-- The unread activity of a collapse key: record_activities(), record_reactions().
create index idx_activity_feed_collapse
  on activity_feed (tenant_id, user_id, collapse_key)
  where collapse_key is not null and not is_read;
