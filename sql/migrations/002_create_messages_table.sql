-- Words as typed, without diacritics: "bao cao" finds "Báo cáo". A text search configuration is immutable, runs in C and can
-- be passed to ts_headline(); a function around unaccent() has none of these properties.
create text search configuration discuss_simple (copy = pg_catalog.simple);
alter text search configuration discuss_simple
  alter mapping for word, hword, hword_part, numword, numhword, hword_numpart
  with unaccent, simple;
comment on text search configuration discuss_simple is
  'Words without diacritics and without stemming, for any language; a query must use the same configuration.';

-- Partitioned by id instead of created_at: the primary key remains (id), so that foreign keys to messages(id) are possible.
-- Ids grow with time, so a range of ids is also a span of time.
-- channel_id and parent_id reference rows that send_messages() has locked or read in the same transaction, so no foreign
-- keys check them again: these took 7 to 20 % of the time of a batch. Triggers do what their on delete clauses did, and the
-- service's role cannot write either column (migration 015).
create table messages (
  id bigserial primary key,

  channel_id bigint not null,
  sender_id bigint not null,
  tenant_id bigint not null,

  content text not null,
  message_type varchar(50) not null default 'TEXT',

  mentions bigint[] not null default '{}',

  parent_id bigint,
  thread_count int not null default 0,

  is_edited boolean not null default false,
  edited_at bigint,
  is_deleted boolean not null default false,
  deleted_at bigint,
  deleted_by bigint,

  reactions jsonb not null default '[]',

  read_by bigint[] not null default '{}',

  metadata jsonb,

  created_at bigint not null,
  updated_at bigint not null,

  post_seq bigint not null,
  event_seq bigint not null default 0,
  created_event_seq bigint,
  mention_scope varchar(50),
  also_in_channel boolean not null default false,
  thread_user_count int not null default 0,
  thread_users bigint[] not null default '{}',
  last_reply_at bigint,
  pinned_at bigint,
  pinned_by bigint,
  pin_seq bigint,
  notice jsonb,
  file_names text not null default '',
  is_kept boolean not null default false,
  encrypted_content bytea,

  -- Arrays as constants: each insert parses the constraints of a partition, and "in" would be an array of six casts.
  constraint valid_message_type check (message_type = any ('{TEXT,IMAGE,FILE,SYSTEM,CODE,POLL}'::text[])),
  constraint content_not_empty check (
    char_length(trim(content)) > 0 or message_type != 'TEXT' or encrypted_content is not null
  ),
  constraint valid_mention_scope check (mention_scope = any ('{CHANNEL,HERE}'::text[]))
) partition by range (id);

comment on table messages is
  'Messages and notices. Partitioned by ranges of 30,000,000 ids (messages_p000001 has ids below 30,000,000), see ensure_partitions(). Within a channel the orders of id, post_seq and commit are the same.';
comment on column messages.id is 'Id of the message, assigned while the channel''s row is locked.';
comment on column messages.channel_id is 'Channel of the message.';
comment on column messages.sender_id is
  'User who sent the message; 0 for a notice and for a service that acts for no user.';
comment on column messages.tenant_id is 'Tenant of the channel.';
comment on column messages.content is 'Text of the message; empty for a notice.';
comment on column messages.message_type is 'TEXT, IMAGE, FILE, SYSTEM, CODE or POLL.';
comment on column messages.mentions is 'Users mentioned by name.';
comment on column messages.parent_id is
  'Root message of the thread that this message replies in; null outside threads.';
comment on column messages.thread_count is 'Replies to this message that are not deleted.';
comment on column messages.is_edited is 'Whether the content was edited.';
comment on column messages.edited_at is 'When the content was last edited, epoch ms.';
comment on column messages.is_deleted is
  'Whether the message was soft-deleted; retention removes the row 90 days later.';
comment on column messages.deleted_at is 'When it was deleted, epoch ms.';
comment on column messages.deleted_by is 'User who deleted it.';
comment on column messages.is_kept is
  'Whether a purge found the message expired and a legal hold on it, so that later purges do not read it until a hold is released.';
comment on column messages.reactions is 'Reactions: [{"emoji": "...", "users": [1, 2]}].';
comment on column messages.read_by is
  'Always empty: users who read the message are derived from the read markers in channel_members, see docs/schema-notes.md. The column exists because the document has it.';
comment on column messages.file_names is
  'Names of its files, for searches; empty without files. Without the files removed later.';
comment on column messages.encrypted_content is
  'Content, metadata and labels of a poll of a message of an encrypted channel, see src/encryption/envelope.ts; content is then empty. Null in other channels.';
comment on column messages.metadata is
  'Data of the message type besides the text, such as the language of code or the options of a poll.';
comment on column messages.created_at is 'When the message was sent, epoch ms.';
comment on column messages.updated_at is 'When the row last changed, epoch ms.';
comment on column messages.post_seq is
  'Number of the message in its channel, 1..N. An insert with null gets the next one.';
comment on column messages.event_seq is 'seq of the channel_events row that last changed the message.';
comment on column messages.mention_scope is
  'CHANNEL mentions all members, HERE all members who are online; null mentions users by name only.';
comment on column messages.also_in_channel is 'Whether a reply is also shown in the channel.';
comment on column messages.thread_user_count is 'Users who have a reply to this message that is not deleted.';
comment on column messages.thread_users is 'The first five of these users, in the order of their first replies.';
comment on column messages.last_reply_at is
  'created_at of the last reply that is not deleted, epoch ms; null without replies.';
comment on column messages.pinned_at is 'When the message was pinned, epoch ms; null if it is not pinned.';
comment on column messages.pinned_by is 'User who pinned it.';
comment on column messages.pin_seq is 'seq of the event that pinned it; pins are listed in this order.';
comment on column messages.created_event_seq is 'seq of its MESSAGE_CREATED event; null if it has none.';
comment on column messages.notice is
  'For a message that the service itself posts, such as "Lan joined": a SystemNotice of message.proto as JSON; null otherwise. A notice has sender 0 and no content, so searches do not find it. It takes a post_seq, but does not count as unread, as last message or in message_count.';

create table messages_default partition of messages default;
comment on table messages_default is
  'Holds messages whose id range has no partition yet; ensure_partitions() moves them.';
alter table messages_default enable row level security;

-- Without this table, an unread count would have to look for deleted messages in every partition, and would rise again when
-- retention removes the row of a deleted message.
create table deleted_posts (
  channel_id bigint not null references channels(id) on delete cascade,
  post_seq bigint not null,
  tenant_id bigint not null,
  sender_id bigint not null,

  primary key (channel_id, post_seq) include (tenant_id, sender_id)
);

comment on table deleted_posts is
  'Numbers of the messages that never count as unread: deleted messages, removed rows and notices. Maintained by update_unread_counts(); a row outlives its message.';
comment on column deleted_posts.channel_id is 'Channel of the message.';
comment on column deleted_posts.post_seq is 'Number of the message in its channel.';
comment on column deleted_posts.tenant_id is 'Tenant of the channel.';
comment on column deleted_posts.sender_id is 'Sender of the message. A member''s own messages are counted separately.';
