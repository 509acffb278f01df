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

  primary key (tenant_id, word)
);
comment on table search_words is
  'Distinct words of each tenant''s messages, to find words by a part of them. An index on the parts would be written by every message; learn_search_words() maintains this table in the background. A word outlives its messages.';
comment on column search_words.tenant_id is 'Tenant of the messages.';
comment on column search_words.word is 'The word without diacritics, in lower case, at least 4 characters.';
comment on column search_words.horizon is
  'Set only in the row of tenant 0 with the empty word: the events of all transactions below it are processed. Null in all others.';

-- Words that contain a part: search_query().
create index idx_search_words_parts
  on search_words using gin ((array[tenant_id]), word gin_trgm_ops);
