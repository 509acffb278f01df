-- What people do with messages: edits, threads, polls and pins.
-- None of these tables refers to messages(id): a message moves between partitions by being copied and removed.

alter table messages
  add column mention_scope varchar(50),
  add column also_in_channel boolean not null default false,
  add column thread_user_count int not null default 0,
  add column thread_users bigint[] not null default '{}',
  add column last_reply_at bigint,
  add column pinned_at bigint,
  add column pinned_by bigint,
  add column pin_seq bigint,
  add column posted_seq bigint,
  add constraint valid_mention_scope check (mention_scope in ('CHANNEL', 'HERE'));

comment on column messages.mention_scope is 'CHANNEL or HERE when everybody, or everybody online, is mentioned; null otherwise.';
comment on column messages.also_in_channel is 'Whether a reply is shown in the channel as well as in its thread.';
comment on column messages.thread_user_count is 'Users with a reply to this message that is not deleted.';
comment on column messages.thread_users is 'The first five of them, in the order of their first replies.';
comment on column messages.last_reply_at is 'When the last reply that is not deleted was posted, epoch ms; null without replies.';
comment on column messages.pinned_at is 'When the message was pinned, epoch ms; null when it is not.';
comment on column messages.pinned_by is 'User who pinned it.';
comment on column messages.pin_seq is 'seq of the event that pinned it: the order of pins.';
comment on column messages.posted_seq is 'seq of its MESSAGE_CREATED event; null when it has none.';
comment on column messages.thread_count is 'Replies to this message that are not deleted.';

-- Until now nothing changed a message after it was posted.
update messages
set posted_seq = event_seq
where event_seq > 0;

-- Replies in their order: ListThread, and the unread replies of a thread.
create index idx_messages_thread
  on messages (parent_id, id)
  where parent_id is not null;

-- Pinned messages of a channel, latest first: ListPins.
create index idx_messages_pinned
  on messages (channel_id, pin_seq desc)
  where pin_seq is not null;

-- Events about a message after its first one, whose seq the message knows: delete_message(). Posting adds
-- nothing to it.
create index idx_channel_events_message
  on channel_events (tenant_id, message_id)
  where message_id is not null and kind != 'MESSAGE_CREATED';

create table message_edits (
  tenant_id bigint not null,
  message_id bigint not null,
  version int not null,
  channel_id bigint not null references channels(id) on delete cascade,
  content text not null,
  mentions bigint[] not null,
  metadata jsonb,
  created_at bigint not null,

  primary key (tenant_id, message_id, version)
);

comment on table message_edits is
  'Earlier versions of messages that were edited. Gone with the deletion of the message.';
comment on column message_edits.tenant_id is 'Tenant of the channel.';
comment on column message_edits.message_id is 'The message.';
comment on column message_edits.version is 'Number of the version: 1 is the message as posted.';
comment on column message_edits.channel_id is 'Channel of the message.';
comment on column message_edits.content is 'The text of this version.';
comment on column message_edits.mentions is 'Users this version mentioned.';
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
  'Who follows a thread, how far each has read it, and how many replies each has in it. A row is made by replying, by being replied to or mentioned, or by following; one that says no stays, so that nothing but the user makes them follow again.';
comment on column thread_followers.tenant_id is 'Tenant of the channel.';
comment on column thread_followers.root_id is 'First message of the thread.';
comment on column thread_followers.user_id is 'The user.';
comment on column thread_followers.channel_id is 'Channel of the thread.';
comment on column thread_followers.is_following is 'Whether the thread is on the user''s list of threads.';
comment on column thread_followers.read_reply_id is 'The read marker: replies up to this id are read. Goes forward only.';
comment on column thread_followers.replies is 'Replies of the user that are not deleted.';
comment on column thread_followers.first_reply_id is 'The reply that made the user a participant; null without replies.';

-- Threads a user follows: ListThreads.
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
  'Votes on polls, one row for each option a user chose. What is asked is in messages.metadata.poll_data; results are counted from here. Gone with the deletion of the message.';
comment on column poll_votes.tenant_id is 'Tenant of the channel.';
comment on column poll_votes.message_id is 'The message that holds the poll.';
comment on column poll_votes.user_id is 'User who voted; shown to nobody when the poll is anonymous.';
comment on column poll_votes.option_id is 'Option chosen, 1 for the first.';
comment on column poll_votes.channel_id is 'Channel of the message.';
comment on column poll_votes.created_at is 'When the vote was cast, epoch ms.';

-- The cascade from channels.
create index idx_poll_votes_channel
  on poll_votes (channel_id);

grant select, insert, delete on message_edits to discuss_service;
grant select, insert, update on thread_followers to discuss_service;
grant select, insert, delete on poll_votes to discuss_service;
grant select, insert, update, delete on message_edits, thread_followers, poll_votes to discuss_system;

do $$
declare
  _table text;
begin
  foreach _table in array array['message_edits', 'thread_followers', 'poll_votes'] loop
    execute format('alter table %I enable row level security', _table);
    execute format('alter table %I force row level security', _table);
    execute format('create policy system_policy on %I to discuss_system using (true) with check (true)', _table);
  end loop;
end
$$;

create policy edit_access_policy on message_edits
to discuss_service
using (
  tenant_id = (select app_tenant_id())
  and (
    (select app_is_service())
    or (
      select cm.status in ('ACTIVE', 'MUTED')
      from channel_members cm
      where cm.channel_id = message_edits.channel_id
        and cm.user_id = (select app_user_id())
    )
  )
);

-- Everybody's rows are the caller's to see only through the functions that count them.
create policy follower_access_policy on thread_followers
to discuss_service
using (
  tenant_id = (select app_tenant_id())
  and user_id = (select app_user_id())
  and (
    select cm.status in ('ACTIVE', 'MUTED')
    from channel_members cm
    where cm.channel_id = thread_followers.channel_id
      and cm.user_id = (select app_user_id())
  )
);

create policy vote_access_policy on poll_votes
for select to discuss_service
using (
  tenant_id = (select app_tenant_id())
  and (
    (select app_is_service())
    or (
      select cm.status in ('ACTIVE', 'MUTED')
      from channel_members cm
      where cm.channel_id = poll_votes.channel_id
        and cm.user_id = (select app_user_id())
    )
  )
);

create policy vote_insert_policy on poll_votes
for insert to discuss_service
with check (
  tenant_id = (select app_tenant_id())
  and user_id = (select app_user_id())
  and (
    select cm.status in ('ACTIVE', 'MUTED')
    from channel_members cm
    where cm.channel_id = poll_votes.channel_id
      and cm.user_id = (select app_user_id())
  )
);

create policy vote_delete_policy on poll_votes
for delete to discuss_service
using (
  tenant_id = (select app_tenant_id())
  and user_id = (select app_user_id())
);
