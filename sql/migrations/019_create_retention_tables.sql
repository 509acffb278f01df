create table retention_rules (
  tenant_id bigint not null,
  channel_id bigint not null default 0,
  deleted_days int,
  activity_days int,
  inactive_days int,
  export_days int,
  log_days int,
  updated_at bigint not null,

  primary key (tenant_id, channel_id),
  constraint valid_days check (deleted_days >= 0 and activity_days >= 0 and inactive_days >= 0 and export_days >= 0 and log_days >= 1)
);

comment on table retention_rules is
  'Periods of retention that differ from the configured ones, by tenant and by channel: see retention_cutoff().';
comment on column retention_rules.tenant_id is 'Tenant of the rule.';
comment on column retention_rules.channel_id is 'Channel of the rule; 0: all channels of the tenant that have none.';
comment on column retention_rules.deleted_days is
  'Days until deleted messages and channels are removed; 0: never; null: as the tenant or the configuration.';
comment on column retention_rules.activity_days is 'Days that activities are kept; 0 and null as for deleted_days.';
comment on column retention_rules.inactive_days is
  'Days without a change until a group is archived; 0 and null as for deleted_days.';
comment on column retention_rules.export_days is
  'Days until messages are exported to the store of files, by whole months, and removed; 0 and null: never, and as the tenant.';
comment on column retention_rules.log_days is 'Days that events of the log are kept, at least one; null as for deleted_days.';
comment on column retention_rules.updated_at is 'When the rule was last set, epoch ms.';

create table retention_runs (
  id bigserial primary key,
  tenant_id bigint not null default 0,
  started_at bigint not null,
  finished_at bigint,
  lease_until bigint not null,
  attempt int not null default 1,
  instance varchar(100) not null,
  messages bigint not null default 0,
  channels bigint not null default 0,
  activities bigint not null default 0,
  archived bigint not null default 0,
  exported bigint not null default 0
);

comment on table retention_runs is
  'Runs of retention, one at a time over all instances, with what they removed. A run whose instance ended is resumed by another.';
comment on column retention_runs.id is 'Id of the run.';
comment on column retention_runs.tenant_id is 'Always 0: a run concerns all tenants.';
comment on column retention_runs.started_at is 'When it began, epoch ms.';
comment on column retention_runs.finished_at is 'When it ended, epoch ms; null while it runs.';
comment on column retention_runs.lease_until is
  'Until when its instance must report progress, epoch ms; then another one may resume it.';
comment on column retention_runs.attempt is 'Number of instances that have worked on it. Only the last one may continue.';
comment on column retention_runs.instance is 'Instance that works, or worked, on it.';
comment on column retention_runs.messages is 'Deleted messages that were removed.';
comment on column retention_runs.channels is 'Deleted channels that were removed, and their messages.';
comment on column retention_runs.activities is 'Activities that were removed.';
comment on column retention_runs.archived is 'Inactive groups that were archived.';
comment on column retention_runs.exported is 'Messages that were exported and removed.';

-- The run in progress: begin_retention_run().
create index idx_retention_runs_unfinished
  on retention_runs (tenant_id, id)
  where finished_at is null;

create table event_log_floors (
  tenant_id bigint primary key,
  floor_xid xid8 not null,
  floor_id bigint not null
);

comment on table event_log_floors is
  'The last event of each tenant that was removed because of a rule of the tenant, in addition to the days of event_log_state: see purge_events() and read_tenant_events().';
comment on column event_log_floors.tenant_id is 'Tenant of the events.';
comment on column event_log_floors.floor_xid is 'With floor_id, the last removed event in the order (xid, id): a cursor before it has missed events.';
comment on column event_log_floors.floor_id is 'See floor_xid.';

do $$
declare
  _table text;
begin
  foreach _table in array array['retention_rules', 'retention_runs', 'event_log_floors'] loop
    execute format('alter table %I enable row level security', _table);
    execute format('alter table %I force row level security', _table);
    execute format('create policy system_policy on %I to discuss_system using (true) with check (true)', _table);
    -- There is no policy for the service, so it sees no rows.
    execute format('grant select on %I to discuss_service', _table);
  end loop;
end
$$;
grant select, insert, update, delete on retention_rules, retention_runs, event_log_floors to discuss_system;
grant usage on sequence retention_runs_id_seq to discuss_system;
