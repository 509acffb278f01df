create table activity_feed (
  id bigserial not null,

  tenant_id bigint not null,
  user_id bigint not null,

  action_type varchar(100) not null,

  actor_id bigint not null,

  entity_type varchar(100),
  entity_id bigint,

  channel_id bigint references channels(id) on delete cascade,
  message_id bigint references messages(id) on delete cascade,

  description text not null,

  title varchar(255),

  is_read boolean not null default false,
  read_at bigint,

  metadata jsonb,

  "timestamp" bigint not null,

  created_at bigint not null,

  collapse_key varchar(200),
  occurrences int not null default 1,
  xid xid8 not null default pg_current_xact_id(),
  collapsed_reactions jsonb,

  -- A partitioned table's key must hold the partition column.
  primary key (id, "timestamp"),
  constraint has_entity_or_channel check (
    (entity_type is not null and entity_id is not null)
    or (channel_id is not null)
  )
) partition by range ("timestamp");

comment on table activity_feed is
  'What happened that concerns a user, from all modules. Partitioned by month (activity_feed_2026_11), see ensure_partitions().';
comment on column activity_feed.id is 'Identity of the activity.';
comment on column activity_feed.tenant_id is 'Tenant of the user.';
comment on column activity_feed.user_id is 'User the activity is for.';
comment on column activity_feed.action_type is 'What happened: MESSAGE_SENT, MENTION_RECEIVED, TASK_ASSIGNED, ...';
comment on column activity_feed.actor_id is 'User who did it.';
comment on column activity_feed.entity_type is 'Kind of what it happened to: channel, customer, task, ...';
comment on column activity_feed.entity_id is 'What it happened to.';
comment on column activity_feed.channel_id is 'Channel it happened in, if any.';
comment on column activity_feed.message_id is 'Message it is about, if any.';
comment on column activity_feed.description is 'Sentence for people.';
comment on column activity_feed.title is 'Short title for the user interface.';
comment on column activity_feed.is_read is 'Whether the user has seen it.';
comment on column activity_feed.read_at is 'When the user saw it, epoch ms.';
comment on column activity_feed.metadata is 'More context, such as priority of a task.';
comment on column activity_feed."timestamp" is 'When it happened, epoch ms.';
comment on column activity_feed.created_at is 'When it was recorded, epoch ms.';
comment on column activity_feed.collapse_key is
  'While an activity with a key is unread, what happens under the same key changes it instead of adding one; null: always one of its own.';
comment on column activity_feed.occurrences is 'How many times it happened since the user last read it, 1 without a collapse_key.';
comment on column activity_feed.xid is
  'Transaction that wrote it last. Whether a snapshot held it tells exactly what somebody was shown, which a time does not: activities commit in another order than they are timed.';
comment on column activity_feed.collapsed_reactions is
  'For reactions: the last 100 that are in this activity, [{"user_id": 1, "emoji": "...", "name": "..."}]; null for others.';

create table activity_feed_default partition of activity_feed default;
comment on table activity_feed_default is
  'Catches an activity whose month has no partition yet; ensure_partitions() moves it on.';
alter table activity_feed_default enable row level security;
