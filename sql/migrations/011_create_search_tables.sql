-- A separate table, because each message writes every index on channels, whether the indexed column changed or not.
create table channel_names (
  channel_id bigint primary key references channels(id) on delete cascade,
  tenant_id bigint not null,
  name text not null
);
comment on table channel_names is
  'Names of channels other than DIRECT, normalized by search_name(). Maintained by trigger_update_channel_name.';
comment on column channel_names.channel_id is 'The channel.';
comment on column channel_names.tenant_id is 'Tenant of the channel.';
comment on column channel_names.name is 'The normalized name.';

-- Channels of a tenant by parts of their names: SearchChannels.
create index idx_channel_names_search
  on channel_names using gin ((array[tenant_id]), name gin_trgm_ops);

create table search_words (
  tenant_id bigint not null,
  word text not null,
  horizon xid8,
  words int,

  primary key (tenant_id, word)
);
comment on table search_words is
  'Distinct words of each tenant''s messages, to find words by a part of them. An index on the parts would be written by every message; index_words() maintains this table in the background, up to 200,000 words per tenant. A word outlives its messages, unless their sender is erased.';
comment on column search_words.tenant_id is 'Tenant of the messages.';
comment on column search_words.word is 'The word without diacritics, in lower case, at least 4 characters.';
comment on column search_words.horizon is
  'Set only in the row of tenant 0 with the empty word: the events of all transactions below it are processed. Null in all others.';
comment on column search_words.words is
  'Set only in a row with the empty word, one per tenant: the number of the tenant''s words. Null in all others.';

-- Words that contain a part: search_query().
create index idx_search_words_parts
  on search_words using gin ((array[tenant_id]), word gin_trgm_ops);

-- A separate table that is filled after the commit of a message: computing the words and writing their index entries was a
-- third of the time of an insert, and an update of the message's own row would write all its index entries again.
-- Partitioned as messages are, so that their words go with an old partition.
create table message_words (
  message_id bigint primary key,
  tenant_id bigint not null,
  edited_at bigint,
  created_at bigint not null,
  scope bigint[] not null,
  search_vector tsvector not null
) partition by range (message_id);
comment on table message_words is
  'Words of messages for SearchMessages, written by index_messages() within about a second. A row whose edited_at differs from that of its message is outdated, and no search finds it. Partitioned by the same ranges of ids as messages.';
comment on column message_words.message_id is 'The message. Not a foreign key, because a message may be removed before it is indexed.';
comment on column message_words.tenant_id is 'Tenant of the message.';
comment on column message_words.edited_at is 'edited_at of the message when its words were read.';
comment on column message_words.created_at is 'When the message was sent, epoch ms.';
comment on column message_words.scope is 'What searches filter by in the index, see search_scope().';
comment on column message_words.search_vector is
  'Words of the content and of file names without diacritics (discuss_simple, label A), and stemmed in English (label D).';

create table message_words_default partition of message_words default;
comment on table message_words_default is
  'Holds words of messages whose id range has no partition yet; ensure_partitions() moves them.';
alter table message_words_default enable row level security;

-- Full-text search. With the scope in the same index, a search reads from the table only messages of the caller's channels,
-- newest first, however many other messages contain the same word.
create index idx_messages_search
  on message_words using gin (search_vector, scope);
