create table channel_events (
  id bigserial not null,
  channel_id bigint not null,
  seq bigint not null,
  tenant_id bigint not null,
  -- In the order of xid alone, events of a channel could change places: a transaction that posts in two channels has its xid
  -- from the first channel's lock, and may lock the second one after a younger transaction has written there. With the
  -- greater of both, whatever ended before the channel was locked comes first.
  xid xid8 not null default greatest(
    pg_current_xact_id(),
    (pg_snapshot_xmax(pg_current_snapshot())::text::bigint - 1)::text::xid8
  ),
  kind text not null,
  message_id bigint,
  actor_id bigint,
  created_at bigint not null,
  payload bytea not null,

  -- The channel's row lock makes (channel_id, seq) unique; created_at is included as the partition column.
  primary key (channel_id, seq, created_at)
) partition by range (created_at);

comment on table channel_events is
  'The event log of every channel: each change, in order, with the bytes that subscribers receive. Kept for 7 days, partitioned by day (channel_events_20261122, UTC), see ensure_partitions() and drop_old_event_partitions(). Without a foreign key, because the last events of a deleted channel must still reach its members.';
comment on column channel_events.id is 'Order of insertion over all channels; meaningful only among equal xids.';
comment on column channel_events.channel_id is 'Channel of the event.';
comment on column channel_events.seq is
  'Number of the event in its channel, 1..N without gaps, in the order of commit.';
comment on column channel_events.tenant_id is 'Tenant of the channel.';
comment on column channel_events.xid is
  'Transaction that wrote the event, or the youngest one that had ended by then, if that is younger. No further event can appear below pg_snapshot_xmin(), so (xid, id) is a cursor without gaps; within a channel it has the order of seq.';
comment on column channel_events.kind is 'Kind of change: MESSAGE_CREATED, MEMBERS_JOINED, ...';
comment on column channel_events.message_id is 'Message that the event concerns, if any.';
comment on column channel_events.actor_id is 'User who made the change, if any.';
comment on column channel_events.created_at is 'When it happened, epoch ms.';
comment on column channel_events.payload is 'The encoded protobuf event.';

create table channel_events_default partition of channel_events default;
comment on table channel_events_default is
  'Holds events whose day has no partition yet; ensure_partitions() moves them.';
alter table channel_events_default enable row level security;

-- The log of all channels in order: the log poller, StreamTenantEvents.
create index idx_channel_events_order
  on channel_events (xid, id);

-- Events of a message after MESSAGE_CREATED, which is found by messages.created_event_seq: delete_message(). Sending a message
-- writes nothing to this index.
create index idx_channel_events_message
  on channel_events (tenant_id, message_id)
  where message_id is not null and kind != 'MESSAGE_CREATED';

create table event_log_state (
  tenant_id bigint not null default 0,
  epoch bigint not null,
  floor_xid xid8 not null default '0',
  floor_id bigint not null default 0,
  activities_xid xid8,

  identity text,

  primary key (tenant_id),
  constraint event_log_state_single_row check (tenant_id = 0)
);
comment on table event_log_state is
  'One row: the limits within which cursors into the log of all tenants are valid, see read_tenant_events(), and the position of record_sent_messages().';
comment on column event_log_state.tenant_id is 'Always 0: the row applies to all tenants.';
comment on column event_log_state.epoch is
  'A cursor with another epoch is invalid; restart_event_log() starts a new epoch.';
comment on column event_log_state.identity is
  'The database that the log belongs to, see database_identity(); null before the first start of an instance. Another value means that the database was restored: renew_event_log().';
comment on column event_log_state.floor_xid is
  'With floor_id, the last dropped event in the order (xid, id): a cursor before it has missed events.';
comment on column event_log_state.floor_id is 'See floor_xid.';
comment on column event_log_state.activities_xid is
  'The events of all transactions below it are processed by record_sent_messages(); null before its first call.';

insert into event_log_state (epoch) values ((random() * 9007199254740991)::bigint);
