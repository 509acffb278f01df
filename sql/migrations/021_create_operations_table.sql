create table operations (
  id bigserial primary key,
  tenant_id bigint not null,
  kind varchar(40) not null,
  user_id bigint not null,
  created_at bigint not null,
  created_by bigint not null,
  updated_at bigint not null,
  finished_at bigint,
  state varchar(20) not null default 'RUNNING',
  error bytea,
  progress jsonb not null default '{}',
  counts jsonb not null default '{}',
  attempt int not null default 0,
  instance varchar(100) not null default '',
  due_at bigint not null,

  constraint valid_operation_kind check (kind in ('ERASE_USER')),
  constraint valid_operation_state check (state in ('RUNNING', 'SUCCEEDED', 'FAILED', 'CANCELLED')),
  constraint operation_ends check ((state = 'RUNNING') = (finished_at is null))
);

comment on table operations is
  'Long-running operations. One instance at a time works on each in small transactions, and records its progress in them.';
comment on column operations.id is 'Id of the operation.';
comment on column operations.tenant_id is 'Tenant of the operation.';
comment on column operations.kind is 'ERASE_USER.';
comment on column operations.user_id is 'The user concerned.';
comment on column operations.created_at is 'When it was started, epoch ms.';
comment on column operations.created_by is 'Id of the operator who started it; 0 if the token has none.';
comment on column operations.updated_at is 'When its progress was last recorded, epoch ms.';
comment on column operations.finished_at is 'When it ended, epoch ms; null while it is in progress.';
comment on column operations.state is 'RUNNING, SUCCEEDED, FAILED or CANCELLED.';
comment on column operations.error is 'A google.rpc.Status for FAILED.';
comment on column operations.progress is 'Where the next step begins; its form depends on kind.';
comment on column operations.counts is 'What was done so far, by what is counted.';
comment on column operations.attempt is 'Number of claims. Only the instance of the last one may continue.';
comment on column operations.instance is 'Instance that works, or worked, on it.';
comment on column operations.due_at is
  'When an instance may claim it, epoch ms: the end of the lease of the one that works on it.';

-- One operation in progress per subject: start_operation().
create unique index idx_operations_subject
  on operations (tenant_id, kind, user_id)
  where finished_at is null;

-- The next operation to claim: claim_operation().
create index idx_operations_due
  on operations (due_at)
  where finished_at is null;

-- Operations of a tenant, newest first: list_operations().
create index idx_operations_tenant
  on operations (tenant_id, id desc);

alter table operations enable row level security;
alter table operations force row level security;
create policy system_policy on operations to discuss_system using (true) with check (true);
-- There is no policy for the service, so it sees no rows.
grant select on operations to discuss_service;
grant select, insert, update, delete on operations to discuss_system;
grant usage on sequence operations_id_seq to discuss_system;
