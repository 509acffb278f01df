create table activity_feed (
  id bigserial not null,

  tenant_id bigint not null,
  user_id bigint not null,

  action_type varchar(100) not null,

  actor_id bigint not null,

  entity_type varchar(100),
  entity_id bigint,

  channel_id bigint references channels(id) on delete cascade,
  message_id bigint,

  description text not null,

  title varchar(255),

  is_read boolean not null default false,
  read_at bigint,

  metadata jsonb,

  "timestamp" bigint not null,

  created_at bigint not null,

  collapse_key varchar(200),
  occurrences int not null default 1,
  version int not null default 1,
  xid xid8 not null default pg_current_xact_id(),
  collapsed_reactions jsonb,

  -- The primary key of a partitioned table must contain the partition column.
  primary key (id, "timestamp"),
  constraint has_entity_or_channel check (
    (entity_type is not null and entity_id is not null)
    or (channel_id is not null)
  )
) partition by range ("timestamp");

comment on table activity_feed is
  'Activities that concern a user, from all modules. Partitioned by month (activity_feed_2026_11), see ensure_partitions().';
comment on column activity_feed.id is 'Id of the activity.';
comment on column activity_feed.tenant_id is 'Tenant of the user.';
comment on column activity_feed.user_id is 'Recipient of the activity.';
comment on column activity_feed.action_type is 'Kind of activity: MESSAGE_SENT, MENTION_RECEIVED, TASK_ASSIGNED, ...';
comment on column activity_feed.actor_id is 'User who caused it.';
comment on column activity_feed.entity_type is 'Type of the entity concerned: channel, customer, task, ...';
comment on column activity_feed.entity_id is 'Id of the entity concerned.';
comment on column activity_feed.channel_id is 'Channel concerned, if any.';
comment on column activity_feed.message_id is 'Message concerned, if any.';
comment on column activity_feed.description is 'Sentence for display.';
comment on column activity_feed.title is 'Short title for the user interface.';
comment on column activity_feed.is_read is 'Whether the user has read it.';
comment on column activity_feed.read_at is 'When the user read it, epoch ms.';
comment on column activity_feed.metadata is 'Further context, such as the priority of a task.';
comment on column activity_feed."timestamp" is 'When it happened, epoch ms.';
comment on column activity_feed.created_at is 'When the row was inserted, epoch ms.';
comment on column activity_feed.collapse_key is
  'While an activity with this key is unread, a further one with the same key updates it instead of adding a row. Null: always a row of its own.';
comment on column activity_feed.occurrences is
  'How many events the activity stands for since the user last read it; 1 without a collapse_key.';
comment on column activity_feed.version is
  'Number of the state, increased with each change of the occurrences. Streams may receive the states in another order, because different instances send them.';
comment on column activity_feed.xid is
  'Transaction that last wrote the row. A snapshot shows exactly which activities a reader saw; a time does not, because activities commit in another order than their timestamps.';
comment on column activity_feed.collapsed_reactions is
  'For reactions: the last 100 that this activity stands for, [{"user_id": 1, "emoji": "...", "name": "..."}]; null for other activities.';

create table activity_feed_default partition of activity_feed default;
comment on table activity_feed_default is
  'Holds activities whose month has no partition yet; ensure_partitions() moves them.';
alter table activity_feed_default enable row level security;

create table pending_activities (
  message_id bigint primary key,
  tenant_id bigint not null,
  actor_name text not null,
  after_user_id bigint not null,
  due_at bigint not null,
  attempts int not null default 0,
  last_error text,
  parked_at bigint
);

comment on table pending_activities is
  'Messages whose activities are not recorded for all users yet: mentions of a whole channel, and replies in threads with many followers. record_pending_activities() processes and removes them.';
comment on column pending_activities.message_id is 'The message.';
comment on column pending_activities.tenant_id is 'Tenant of the channel. Tenants take turns.';
comment on column pending_activities.actor_name is 'Name of the sender, for the text of the activities.';
comment on column pending_activities.after_user_id is 'Activities are recorded for users up to this id.';
comment on column pending_activities.due_at is 'Earliest time of the next portion, epoch ms. The message with the earliest is next.';
comment on column pending_activities.attempts is 'How often recording the next portion has failed.';
comment on column pending_activities.last_error is 'SQLSTATE and text of the last of these failures; null if there was none.';
comment on column pending_activities.parked_at is
  'When recording was given up because it failed each time, epoch ms; null otherwise. The row remains for the operator.';

-- The oldest message of each tenant: record_pending_activities().
create index idx_pending_activities_tenant
  on pending_activities (tenant_id, message_id)
  where parked_at is null;
