create table held_contents (
  id bigserial primary key,
  tenant_id bigint not null,
  channel_id bigint not null,
  user_id bigint not null,
  message_id bigint not null,
  kind varchar(20) not null,
  data jsonb not null,
  kept_at bigint not null,

  constraint valid_held_kind check (kind in ('MESSAGE', 'VERSION', 'FILE'))
);

comment on table held_contents is
  'What the deletion of a message or file removes, as long as a legal hold concerns it: see keep_held_content() and release_storage(). The content of the message itself remains in its row. Readable by ExportChannel only.';
comment on column held_contents.id is 'Order of insertion.';
comment on column held_contents.tenant_id is 'Tenant of the message.';
comment on column held_contents.channel_id is 'Channel of the message.';
comment on column held_contents.user_id is 'Sender of the message.';
comment on column held_contents.message_id is 'The message.';
comment on column held_contents.kind is 'MESSAGE: reactions and votes; VERSION: an earlier version; FILE: a file, whose object remains in the store.';
comment on column held_contents.data is 'What was removed, in the form of ExportChannel.';
comment on column held_contents.kept_at is 'When it was removed, epoch ms.';

-- What is held of a channel: export_held_contents(); of a tenant: drop_unheld().
create index idx_held_contents_channel
  on held_contents (tenant_id, channel_id, id);

create table held_events (
  channel_id bigint not null,
  seq bigint not null,
  tenant_id bigint not null,
  kind text not null,
  message_id bigint,
  actor_id bigint,
  created_at bigint not null,
  payload bytea not null,

  primary key (tenant_id, channel_id, seq)
);

comment on table held_events is
  'Events of the log that a legal hold keeps after their day was dropped: see keep_held_events(). Readable by ExportChannel only.';
comment on column held_events.channel_id is 'Channel of the event.';
comment on column held_events.seq is 'Number of the event in its channel.';
comment on column held_events.tenant_id is 'Tenant of the channel.';
comment on column held_events.kind is 'Kind of change.';
comment on column held_events.message_id is 'Message that the event concerns, if any.';
comment on column held_events.actor_id is 'User who made the change, if any.';
comment on column held_events.created_at is 'When it happened, epoch ms.';
comment on column held_events.payload is 'The encoded protobuf event.';

create table kept_partitions (
  tenant_id bigint not null default 0,
  name text not null,
  last_id bigint not null,
  kept_at bigint not null,

  primary key (tenant_id, name)
);

comment on table kept_partitions is
  'Months of activities of which only rows remain that legal holds concern, so that purges do not read them again until a hold is released.';
comment on column kept_partitions.tenant_id is 'Always 0: a month has the activities of all tenants.';
comment on column kept_partitions.name is 'The partition.';
comment on column kept_partitions.last_id is 'The last of these rows. Those that were inserted later are not checked yet.';
comment on column kept_partitions.kept_at is 'When this was found, epoch ms.';

create table retention_clock (
  tenant_id bigint primary key default 0,
  offset_ms bigint not null,

  constraint retention_clock_single_row check (tenant_id = 0)
);

comment on table retention_clock is
  'For tests: moves the clock by which retention decides, see retention_now(). Empty otherwise. Only the owner may write it.';
comment on column retention_clock.tenant_id is 'Always 0.';
comment on column retention_clock.offset_ms is 'Added to the clock of the database, ms.';

do $$
declare
  _table text;
begin
  foreach _table in array array['held_contents', 'held_events', 'kept_partitions', 'retention_clock'] loop
    execute format('alter table %I enable row level security', _table);
    execute format('alter table %I force row level security', _table);
    execute format('create policy system_policy on %I to discuss_system using (true) with check (true)', _table);
    -- There is no policy for the service, so it sees no rows.
    execute format('grant select on %I to discuss_service', _table);
  end loop;
end
$$;
grant select, insert, delete on held_contents, held_events, kept_partitions to discuss_system;
grant update on kept_partitions to discuss_system;
grant usage on sequence held_contents_id_seq to discuss_system;
grant select on retention_clock to discuss_system;
