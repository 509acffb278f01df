-- None of these tables has a foreign key to messages(id), because a message moves between partitions by copy and delete.

create table message_edits (
  tenant_id bigint not null,
  message_id bigint not null,
  version int not null,
  channel_id bigint not null references channels(id) on delete cascade,
  content text not null,
  mentions bigint[] not null,
  metadata jsonb,
  created_at bigint not null,
  encrypted_content bytea,

  primary key (tenant_id, message_id, version)
);

comment on table message_edits is
  'Earlier versions of edited messages, the last 100. Removed when the message is deleted.';
comment on column message_edits.tenant_id is 'Tenant of the channel.';
comment on column message_edits.message_id is 'The message.';
comment on column message_edits.version is 'Number of the version; 1 is the message as sent.';
comment on column message_edits.channel_id is 'Channel of the message.';
comment on column message_edits.content is 'Text of this version.';
comment on column message_edits.mentions is 'Users mentioned in this version.';
comment on column message_edits.encrypted_content is 'The same as in messages, of this version.';
comment on column message_edits.metadata is 'Metadata of this version.';
comment on column message_edits.created_at is 'When this version was written, epoch ms.';

-- The cascade from channels.
create index idx_message_edits_channel
  on message_edits (channel_id);

create table thread_followers (
  tenant_id bigint not null,
  root_id bigint not null,
  user_id bigint not null,
  channel_id bigint not null references channels(id) on delete cascade,
  is_following boolean not null default true,
  read_reply_id bigint not null default 0,
  replies int not null default 0,
  first_reply_id bigint,

  primary key (tenant_id, root_id, user_id)
);

comment on table thread_followers is
  'Followers of threads, with the read marker and the number of replies of each. A row is created when the user replies, is replied to, is mentioned, or follows. The row of a user who unfollowed remains, so that only that user can follow again.';
comment on column thread_followers.tenant_id is 'Tenant of the channel.';
comment on column thread_followers.root_id is 'First message of the thread.';
comment on column thread_followers.user_id is 'The user.';
comment on column thread_followers.channel_id is 'Channel of the thread.';
comment on column thread_followers.is_following is 'Whether the thread is in the user''s list of threads.';
comment on column thread_followers.read_reply_id is 'Read marker: replies up to this id are read. Never decreases.';
comment on column thread_followers.replies is 'Replies of the user that are not deleted.';
comment on column thread_followers.first_reply_id is
  'The user''s first reply, by which participants are ordered; null without replies.';

-- Threads that a user follows: ListThreads.
create index idx_thread_followers_user
  on thread_followers (tenant_id, user_id)
  where is_following;

-- The cascade from channels.
create index idx_thread_followers_channel
  on thread_followers (channel_id);

create table poll_votes (
  tenant_id bigint not null,
  message_id bigint not null,
  user_id bigint not null,
  option_id int not null,
  channel_id bigint not null references channels(id) on delete cascade,
  created_at bigint not null,

  primary key (tenant_id, message_id, user_id, option_id)
);

comment on table poll_votes is
  'Votes on polls, one row for each option that a user chose. messages.metadata.poll_data has the options; results are counted from this table only. Removed when the message is deleted.';
comment on column poll_votes.tenant_id is 'Tenant of the channel.';
comment on column poll_votes.message_id is 'The message that holds the poll.';
comment on column poll_votes.user_id is 'User who voted; never returned to clients if the poll is anonymous.';
comment on column poll_votes.option_id is 'Chosen option; 1 is the first.';
comment on column poll_votes.channel_id is 'Channel of the message.';
comment on column poll_votes.created_at is 'When the vote was cast, epoch ms.';

-- The cascade from channels.
create index idx_poll_votes_channel
  on poll_votes (channel_id);
