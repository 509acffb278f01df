-- channels

-- Channels of a tenant by type, archived or not: browsing public groups.
create index idx_channels_tenant_type
  on channels (tenant_id, type, is_archived);

-- The channels tied to a business entity.
create index idx_channels_entity
  on channels (tenant_id, entity_type, entity_id)
  where entity_type is not null;

-- Channels somebody made: erasing or exporting a user.
create index idx_channels_created_by
  on channels (created_by, tenant_id);

-- Channels of a tenant by last activity: trending, archiving.
create index idx_channels_last_message
  on channels (tenant_id, last_message_at desc nulls last)
  where is_archived = false;

-- One DIRECT channel per pair, whoever began it; a pair of one (self) too. See direct_has_peer.
create unique index idx_direct_channel_unique
  on channels (tenant_id, least(created_by, entity_id), greatest(created_by, entity_id))
  where type = 'DIRECT';

-- One TOPIC channel per entity: GetOrCreateTopicChannel.
create unique index idx_topic_channel_unique
  on channels (tenant_id, entity_type, entity_id)
  where type = 'TOPIC';

-- Channels whose stored unread numbers may be stale: settle_unread().
create index idx_channels_unsettled
  on channels (id)
  where unread_version != settled_version;

-- messages

-- History of a channel by time, without deleted messages: trending, filters by date.
create index idx_messages_channel_time
  on messages (channel_id, created_at desc)
  where is_deleted = false;

-- History of a channel in its one order: ListMessages, previews, the cascade from channels.
create index idx_messages_channel_id
  on messages (channel_id, id desc);

-- Messages of a sender: search by author, erasing a user.
create index idx_messages_sender
  on messages (tenant_id, sender_id, created_at desc);

-- Replies to a message: ListThread.
create index idx_messages_parent
  on messages (parent_id)
  where parent_id is not null;

-- Messages that mention a user.
create index idx_messages_mentions
  on messages using gin (mentions)
  where mentions != '{}';

-- Full-text search.
create index idx_messages_search
  on messages using gin (search_vector);

-- Deleted messages whose 90 days are over: retention.
create index idx_messages_deleted
  on messages (deleted_at)
  where is_deleted;

-- channel_members

-- Channels of a user, pinned first: ListChannels.
create index idx_channel_members_user
  on channel_members (user_id, tenant_id, is_pinned desc, updated_at desc)
  where status = 'ACTIVE';

-- Members of a channel: ListMembers.
create index idx_channel_members_channel
  on channel_members (channel_id, status)
  where status = 'ACTIVE';

-- Channels in which a user has unread messages, most first: GetUnreadSummary.
create index idx_channel_members_unread
  on channel_members (user_id, tenant_id, unread_count desc)
  where unread_count > 0 and status = 'ACTIVE';

-- Owners and admins of a channel.
create index idx_channel_members_role
  on channel_members (channel_id, role)
  where status = 'ACTIVE';

-- attachments

-- Files of a message, and the cascade from messages.
create index idx_attachments_message
  on attachments (message_id);

-- Files of a channel, newest first: ListAttachments.
create index idx_attachments_channel
  on attachments (channel_id, created_at desc);

-- Files of a tenant by MIME type.
create index idx_attachments_tenant_type
  on attachments (tenant_id, file_type, created_at desc);

-- Files waiting for the scanner.
create index idx_attachments_scan
  on attachments (scan_status)
  where scan_status = 'PENDING';

-- activity_feed

-- Activities of a user, newest first: ListActivities.
create index idx_activity_feed_user_time
  on activity_feed (user_id, tenant_id, "timestamp" desc);

-- Activities a user has not seen: GetActivityCounts.
create index idx_activity_feed_unread
  on activity_feed (user_id, is_read, "timestamp" desc)
  where is_read = false;

-- What happened to an entity.
create index idx_activity_feed_entity
  on activity_feed (entity_type, entity_id, "timestamp" desc)
  where entity_type is not null;

-- What happened in a channel, and the cascade from channels.
create index idx_activity_feed_channel
  on activity_feed (channel_id, "timestamp" desc)
  where channel_id is not null;

-- The cascade from messages: without it each message removed for good reads the whole feed.
create index idx_activity_feed_message
  on activity_feed (message_id)
  where message_id is not null;
