-- Words as typed, without diacritics: "bao cao" finds "Báo cáo". Being a configuration and not a
-- function it is immutable, runs in C, and ts_headline() can mark what it found.
create text search configuration discuss_simple (copy = pg_catalog.simple);
alter text search configuration discuss_simple
  alter mapping for word, hword, hword_part, numword, numhword, hword_numpart
  with unaccent, simple;
comment on text search configuration discuss_simple is
  'Words without diacritics and without stemming, for any language; query with the same configuration.';

-- Partitioned by id and not by created_at: the key stays (id), so foreign keys to messages(id) stay
-- possible; ids grow with time, so a range of ids is a span of time.
create table messages (
  id bigserial primary key,

  channel_id bigint not null references channels(id) on delete cascade,
  sender_id bigint not null,
  tenant_id bigint not null,

  content text not null,
  message_type varchar(50) not null default 'TEXT',

  mentions bigint[] not null default '{}',

  parent_id bigint references messages(id) on delete set null,
  thread_count int not null default 0,

  is_edited boolean not null default false,
  edited_at bigint,
  is_deleted boolean not null default false,
  deleted_at bigint,
  deleted_by bigint,

  reactions jsonb not null default '[]',

  read_by bigint[] not null default '{}',

  search_vector tsvector generated always as (
    setweight(
      to_tsvector('public.discuss_simple', translate(normalize(content, nfc), '-_/.@+<>&', '         ')),
      'A'
    )
    || to_tsvector('pg_catalog.english', content)
  ) stored,

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

  constraint valid_message_type check (
    message_type in ('TEXT', 'IMAGE', 'FILE', 'SYSTEM', 'CODE', 'POLL')
  ),
  constraint content_not_empty check (
    char_length(trim(content)) > 0 or message_type != 'TEXT'
  ),
  constraint valid_mention_scope check (mention_scope in ('CHANNEL', 'HERE'))
) partition by range (id);

comment on table messages is
  'What was said. Partitioned by ranges of 30,000,000 ids (messages_p000001 has ids below 30,000,000), see ensure_partitions(). In one channel the orders of id, post_seq and commit are the same.';
comment on column messages.id is 'Identity of the message; taken after the lock of its channel.';
comment on column messages.channel_id is 'Channel the message was posted in.';
comment on column messages.sender_id is 'User who posted it.';
comment on column messages.tenant_id is 'Tenant of the channel.';
comment on column messages.content is 'The text.';
comment on column messages.message_type is 'TEXT, IMAGE, FILE, SYSTEM, CODE or POLL.';
comment on column messages.mentions is 'Users mentioned with @.';
comment on column messages.parent_id is 'Message this one replies to.';
comment on column messages.thread_count is 'Replies to this message that are not deleted.';
comment on column messages.is_edited is 'Whether the content was changed after posting.';
comment on column messages.edited_at is 'When the content was last changed, epoch ms.';
comment on column messages.is_deleted is 'Whether the message was deleted; the row goes 90 days later.';
comment on column messages.deleted_at is 'When it was deleted, epoch ms.';
comment on column messages.deleted_by is 'User who deleted it.';
comment on column messages.reactions is 'Reactions: [{"emoji": "...", "users": [1, 2]}].';
comment on column messages.read_by is 'Users who read it; filled in the background and for small channels only, as read markers hold the truth.';
comment on column messages.search_vector is
  'Words of the content as typed, without diacritics (discuss_simple, label A), then stemmed in English (label D).';
comment on column messages.metadata is 'What the type needs besides the text: language of code, options of a poll.';
comment on column messages.created_at is 'When it was posted, epoch ms.';
comment on column messages.updated_at is 'When the row last changed, epoch ms.';
comment on column messages.post_seq is 'Number of the message in its channel, 1..N; null on insert means: take the next one.';
comment on column messages.event_seq is 'seq of the event of channel_events that last changed the message.';
comment on column messages.mention_scope is 'CHANNEL or HERE when everybody, or everybody online, is mentioned; null otherwise.';
comment on column messages.also_in_channel is 'Whether a reply is shown in the channel as well as in its thread.';
comment on column messages.thread_user_count is 'Users with a reply to this message that is not deleted.';
comment on column messages.thread_users is 'The first five of them, in the order of their first replies.';
comment on column messages.last_reply_at is 'When the last reply that is not deleted was posted, epoch ms; null without replies.';
comment on column messages.pinned_at is 'When the message was pinned, epoch ms; null when it is not.';
comment on column messages.pinned_by is 'User who pinned it.';
comment on column messages.pin_seq is 'seq of the event that pinned it: the order of pins.';
comment on column messages.created_event_seq is 'seq of its MESSAGE_CREATED event; null when it has none.';
comment on column messages.notice is
  'What the service itself reports, a SystemNotice of message.proto as JSON: who joined, was removed, ... Such a message is of sender 0 and has no content, which is made of the notice, so that searches do not find it. It counts for nothing but its place in the channel: not as unread, as newest message, or in message_count. null for what somebody posted.';

create table messages_default partition of messages default;
comment on table messages_default is
  'Catches a message whose range of ids has no partition yet; ensure_partitions() moves it on.';
alter table messages_default enable row level security;

-- Without it, unread numbers would have to look for deleted messages in every partition, and would
-- rise again when retention removes the row of a deleted message.
create table deleted_posts (
  channel_id bigint not null references channels(id) on delete cascade,
  post_seq bigint not null,
  tenant_id bigint not null,
  sender_id bigint not null,

  primary key (channel_id, post_seq) include (tenant_id, sender_id)
);

comment on table deleted_posts is
  'Numbers of the messages that count as unread for nobody: deleted, removed for good, or notices. Kept by update_unread_counts(), outlives the message.';
comment on column deleted_posts.channel_id is 'Channel of the message.';
comment on column deleted_posts.post_seq is 'Number of the message in its channel.';
comment on column deleted_posts.tenant_id is 'Tenant of the channel.';
comment on column deleted_posts.sender_id is 'User who had posted it; own messages are counted apart.';
