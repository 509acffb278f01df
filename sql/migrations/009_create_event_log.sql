create table channel_events (
  id bigserial not null,
  channel_id bigint not null,
  seq bigint not null,
  tenant_id bigint not null,
  xid xid8 not null default greatest(
    pg_current_xact_id(),
    (pg_snapshot_xmax(pg_current_snapshot())::text::bigint - 1)::text::xid8
  ),
  kind text not null,
  message_id bigint,
  actor_id bigint,
  created_at bigint not null,
  payload bytea not null,

  -- seq alone is unique by the channel's row lock; created_at is here as the partition column.
  primary key (channel_id, seq, created_at)
) partition by range (created_at);

comment on table channel_events is
  'The log of every channel: each change, in order, as the very bytes subscribers get. Kept 7 days, partitioned by day (channel_events_20261122, UTC), see ensure_partitions() and drop_old_event_partitions(). No foreign key, as the last events of a deleted channel must still reach its members.';
comment on column channel_events.id is 'Order of insertion over all channels; says something only among equal xids.';
comment on column channel_events.channel_id is 'Channel that changed.';
comment on column channel_events.seq is 'Number of the event in its channel, 1..N without gaps in order of commit.';
comment on column channel_events.tenant_id is 'Tenant of the channel.';
comment on column channel_events.xid is
  'The transaction that wrote it, or the youngest that had ended by then, if that is younger. Below pg_snapshot_xmin() nothing can appear any more, so (xid, id) is a cursor without gaps; and in a channel it is the order of seq.';
comment on column channel_events.kind is 'What happened: MESSAGE_CREATED, MEMBERS_JOINED, ...';
comment on column channel_events.message_id is 'Message it is about, if any.';
comment on column channel_events.actor_id is 'User who did it, if any.';
comment on column channel_events.created_at is 'When it happened, epoch ms.';
comment on column channel_events.payload is 'The encoded protobuf event.';

create table channel_events_default partition of channel_events default;
comment on table channel_events_default is
  'Catches an event whose day has no partition yet; ensure_partitions() moves it on.';
alter table channel_events_default enable row level security;

-- The feed over all channels: the relay's catching up, StreamTenantEvents.
create index idx_channel_events_order
  on channel_events (xid, id);

-- Events about a message after its first one, whose seq the message knows: delete_message(). Posting adds
-- nothing to it.
create index idx_channel_events_message
  on channel_events (tenant_id, message_id)
  where message_id is not null and kind != 'MESSAGE_CREATED';

create table event_log_state (
  tenant_id bigint not null default 0,
  epoch bigint not null,
  floor_xid xid8 not null default '0',
  floor_id bigint not null default 0,

  primary key (tenant_id),
  constraint event_log_state_single_row check (tenant_id = 0)
);
comment on table event_log_state is
  'One row: what cursors into the log of all tenants are held against, see read_tenant_events().';
comment on column event_log_state.tenant_id is '0: the feed is of all tenants.';
comment on column event_log_state.epoch is
  'Cursors given out under another epoch mean nothing; restart_event_log() begins a new one.';
comment on column event_log_state.floor_xid is
  'With floor_id, the last event in the order (xid, id) that was dropped from the log: cursors before it missed something.';
comment on column event_log_state.floor_id is 'See floor_xid.';

insert into event_log_state (epoch) values ((random() * 9007199254740991)::bigint);
