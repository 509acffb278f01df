-- Apart from channels, where an index is written with every message whether its column changed or not.
create table channel_names (
  channel_id bigint primary key references channels(id) on delete cascade,
  tenant_id bigint not null,
  name text not null
);
comment on table channel_names is
  'Names of channels other than DIRECT as search_name() makes them, kept by trigger_update_channel_name.';
comment on column channel_names.channel_id is 'The channel.';
comment on column channel_names.tenant_id is 'Tenant of the channel.';
comment on column channel_names.name is 'Its name, folded.';

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
  'Words of a tenant''s messages, for finding words by a part of them. An index of the parts themselves would have to be kept on every post; this is kept in the background by learn_search_words(). A word outlives its messages.';
comment on column search_words.tenant_id is 'Tenant of the messages.';
comment on column search_words.word is 'The word without diacritics, in lower case, 4 characters or more.';
comment on column search_words.horizon is
  'Null but for the empty word of tenant 0, which is no tenant: events of all transactions below this one have been looked through.';

-- Words with a part: search_query().
create index idx_search_words_parts
  on search_words using gin ((array[tenant_id]), word gin_trgm_ops);
