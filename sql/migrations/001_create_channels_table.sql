create table channels (
  id bigserial primary key,

  tenant_id bigint not null,
  created_by bigint not null,

  name varchar(255) not null,
  description text,

  type varchar(50) not null,

  entity_type varchar(100),
  entity_id bigint,

  is_private boolean not null default false,
  is_archived boolean not null default false,

  member_count int not null default 0,
  message_count int not null default 0,
  last_message_at bigint,

  metadata jsonb,

  created_at bigint not null,
  updated_at bigint not null,

  event_seq bigint not null default 0,
  post_seq bigint not null default 0,
  last_message_id bigint,
  unread_version bigint not null default 0,
  settled_version bigint not null default 0,
  is_unsettled boolean not null generated always as (unread_version != settled_version) stored,
  deleted_at bigint,
  merged_into bigint,
  data_key_id bigint,
  encrypted_at bigint,

  constraint valid_channel_type check (type = any ('{DIRECT,GROUP,TOPIC}'::text[])),
  constraint topic_has_entity check (
    (type = 'TOPIC' and entity_type is not null and entity_id is not null)
    or (type != 'TOPIC')
  ),
  constraint direct_has_peer check (type != 'DIRECT' or entity_id is not null)
)
-- Each message updates its channel. Free space keeps the row versions on one page, and no index depends on a column that
-- each message changes, so most of these updates write no index (HOT).
with (fillfactor = 70);

comment on table channels is
  'A place where members exchange messages. Every write locks channels rows in the order of id (for no key update), then channel_members, then messages.';
comment on column channels.id is 'Id of the channel.';
comment on column channels.tenant_id is 'Tenant the channel belongs to.';
comment on column channels.created_by is 'User who created the channel; for DIRECT one of the pair.';
comment on column channels.name is 'Display name.';
comment on column channels.description is 'Purpose of the channel.';
comment on column channels.type is 'DIRECT (a pair of users), GROUP, or TOPIC (linked to a business entity).';
comment on column channels.entity_type is 'Kind of business entity of a TOPIC channel: customer, task, order, lead, ...';
comment on column channels.entity_id is 'Business entity of a TOPIC channel; for DIRECT the other user of the pair.';
comment on column channels.is_private is 'Whether a GROUP channel is visible to its members only.';
comment on column channels.is_archived is 'Whether the channel is archived, and so read-only.';
comment on column channels.member_count is 'Members with status ACTIVE. Maintained by trigger_update_member_count.';
comment on column channels.message_count is
  'Messages that still have a row, soft-deleted ones included and notices excluded. Maintained by send_messages() and trigger_update_channel_stats.';
comment on column channels.last_message_at is
  'created_at of the newest message that is not a notice, epoch ms; never decreases.';
comment on column channels.metadata is 'Free settings of the user interface, such as colour and icon.';
comment on column channels.created_at is 'When the channel was created, epoch ms.';
comment on column channels.updated_at is 'When the channel last changed, epoch ms.';
comment on column channels.event_seq is
  'seq of the channel''s last row in channel_events. Assigned under the row lock, so without gaps.';
comment on column channels.post_seq is 'post_seq of the last message posted here, 1..N without gaps.';
comment on column channels.last_message_id is
  'Id of the last message posted here, deleted messages and notices included.';
comment on column channels.unread_version is
  'Incremented by each change that may alter an unread count of the channel, and by each change of a message without an event.';
comment on column channels.settled_version is
  'The unread_version for which all stored unread counts were last correct; see settle_unread().';
comment on column channels.is_unsettled is
  'Whether unread_version differs from settled_version. Unlike these it changes only with the first message after settle_unread(), so it can be part of an index.';
comment on column channels.deleted_at is 'When the channel was deleted, epoch ms; null while it exists.';
comment on column channels.merged_into is
  'For a TOPIC channel that was merged: the channel where the discussion continues. Null otherwise. A merged channel stays archived and is no longer the channel of its entity.';
comment on column channels.data_key_id is
  'Key in channel_keys with which new messages are encrypted; null in a channel that is not encrypted.';
comment on column channels.encrypted_at is 'When its encryption was switched on, epoch ms; null if it was not.';
