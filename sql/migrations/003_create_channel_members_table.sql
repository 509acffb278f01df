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

  constraint valid_role check (role in ('OWNER', 'ADMIN', 'MEMBER', 'GUEST')),
  constraint valid_status check (status in ('ACTIVE', 'MUTED', 'LEFT', 'REMOVED')),
  constraint valid_notification check (
    notification_level in ('ALL', 'MENTIONS', 'NONE')
  ),

  unique (channel_id, user_id)
)
-- A sender's row changes with each of his messages; free space lets that stay on one page (HOT).
with (fillfactor = 80);

comment on table channel_members is
  'Who is or was in a channel, and how far each has read. Rows are never removed while the channel exists: who left has status LEFT or REMOVED.';
comment on column channel_members.id is 'Identity of the membership.';
comment on column channel_members.channel_id is 'The channel.';
comment on column channel_members.user_id is 'The user.';
comment on column channel_members.tenant_id is 'Tenant of the channel.';
comment on column channel_members.role is 'OWNER, ADMIN, MEMBER or GUEST.';
comment on column channel_members.status is 'ACTIVE; MUTED (reads, may not post); LEFT; REMOVED. The first two may see the channel.';
comment on column channel_members.joined_at is 'When the user last joined, epoch ms.';
comment on column channel_members.left_at is 'When the user left or was removed, epoch ms.';
comment on column channel_members.removed_by is 'User who removed this one.';
comment on column channel_members.last_read_msg_id is 'The read marker: last message read, or null.';
comment on column channel_members.unread_count is 'Unread number as last settled; the exact one is derived_unread(). Settled with every move of the marker and by settle_unread().';
comment on column channel_members.is_muted is 'Whether the user wants no notification from the channel.';
comment on column channel_members.is_pinned is 'Whether the user keeps the channel on top.';
comment on column channel_members.notification_level is 'ALL, MENTIONS or NONE.';
comment on column channel_members.metadata is 'Free settings of the user for this channel, such as a nickname.';
comment on column channel_members.created_at is 'When the row was made, epoch ms.';
comment on column channel_members.updated_at is 'When the user or an admin last changed the membership, epoch ms; not touched by messages.';
comment on column channel_members.read_post_seq is 'post_seq of last_read_msg_id, 0 without a marker.';
comment on column channel_members.own_posts is 'Messages this user ever posted in the channel.';
comment on column channel_members.own_posts_read is 'Those of own_posts at or below the marker.';
