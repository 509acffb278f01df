create table channel_members (
  id bigserial primary key,

  channel_id bigint not null references channels(id) on delete cascade,
  user_id bigint not null,
  tenant_id bigint not null,

  role varchar(50) not null default 'MEMBER',

  status varchar(50) not null default 'ACTIVE',

  joined_at bigint not null,
  left_at bigint,
  removed_by bigint,

  last_read_msg_id bigint,
  unread_count int not null default 0,

  is_muted boolean not null default false,
  is_pinned boolean not null default false,
  notification_level varchar(50) not null default 'ALL',

  metadata jsonb,

  created_at bigint not null,
  updated_at bigint not null,

  read_post_seq bigint not null default 0,
  own_posts bigint not null default 0,
  own_posts_read bigint not null default 0,

  wants_messages boolean not null default false,

  restricted_by bigint,
  restricted_until bigint,

  version int not null default 1,

  constraint valid_role check (role = any ('{OWNER,ADMIN,MEMBER,GUEST}'::text[])),
  constraint valid_status check (status = any ('{ACTIVE,MUTED,LEFT,REMOVED}'::text[])),
  constraint valid_notification check (notification_level = any ('{ALL,MENTIONS,NONE}'::text[])),

  unique (channel_id, user_id)
)
-- Each message updates its sender's row. Free space keeps the row versions on one page (HOT).
with (fillfactor = 80);

comment on table channel_members is
  'Current and former members of channels, with their read markers. A row is never removed while the channel exists: a user who left has status LEFT or REMOVED.';
comment on column channel_members.id is 'Id of the membership.';
comment on column channel_members.channel_id is 'The channel.';
comment on column channel_members.user_id is 'The user.';
comment on column channel_members.tenant_id is 'Tenant of the channel.';
comment on column channel_members.role is 'OWNER, ADMIN, MEMBER or GUEST.';
comment on column channel_members.status is
  'ACTIVE; MUTED (may read but not post, until restricted_until); LEFT; REMOVED. See is_member_status() and is_restricted().';
comment on column channel_members.joined_at is 'When the user last joined, epoch ms.';
comment on column channel_members.left_at is 'When the user left or was removed, epoch ms.';
comment on column channel_members.removed_by is 'User who removed this member.';
comment on column channel_members.last_read_msg_id is 'Read marker: id of the last message read, or null.';
comment on column channel_members.unread_count is
  'Unread count as last stored; derived_unread() computes the exact one. Stored when the read marker moves and by settle_unread().';
comment on column channel_members.is_muted is 'Whether the user wants no notifications from the channel.';
comment on column channel_members.is_pinned is 'Whether the user keeps the channel at the top of the list.';
comment on column channel_members.notification_level is 'ALL, MENTIONS or NONE.';
comment on column channel_members.metadata is 'The user''s free settings for this channel, such as a nickname.';
comment on column channel_members.created_at is 'When the row was created, epoch ms.';
comment on column channel_members.updated_at is
  'When the user or an administrator last changed the membership, epoch ms; messages do not change it.';
comment on column channel_members.read_post_seq is 'post_seq of last_read_msg_id, 0 without a marker.';
comment on column channel_members.own_posts is 'Messages that this user has posted in the channel.';
comment on column channel_members.own_posts_read is 'How many of own_posts are at or before the read marker.';
comment on column channel_members.wants_messages is
  'Whether the user has set notification_level to ALL, and does not only have it by default: record_sent_messages() then records messages as activities.';
comment on column channel_members.restricted_by is
  'User who took away the right to post (0: a service); null without a restriction. Kept when the user leaves, so that leaving and joining again does not end it.';
comment on column channel_members.restricted_until is
  'When the restriction ends by itself, epoch ms; null: never. status remains MUTED after that time.';
comment on column channel_members.version is
  'Incremented by each change of the read marker or the settings, so that clients find out which of two states is newer.';
