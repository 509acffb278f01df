create table partition_moves (
  tenant_id bigint not null default 0,
  parent text not null,
  next_block bigint not null default 0,
  blocks bigint not null,

  primary key (tenant_id, parent)
);

comment on table partition_moves is
  'Default partitions whose rows are being moved into partitions of their own, see ensure_partitions().';
comment on column partition_moves.tenant_id is 'Always 0: a partition has the rows of all tenants.';
comment on column partition_moves.parent is 'The partitioned table. Its copy, of which the new partitions are a part until the end, is named parent_moving.';
comment on column partition_moves.next_block is 'The next block of the default partition to be copied.';
comment on column partition_moves.blocks is 'Blocks that it had at the beginning. What was written since is mirrored by a trigger.';

alter table partition_moves enable row level security;
alter table partition_moves force row level security;
create policy system_policy on partition_moves to discuss_system using (true) with check (true);
-- There is no policy for the service, so it sees no rows.
grant select on partition_moves to discuss_service;
grant select, insert, update, delete on partition_moves to discuss_system;

\ir ../functions/jobs/partition_columns.sql
\ir ../functions/jobs/lock_for_partitions.sql
\ir ../functions/jobs/create_partition.sql
\ir ../functions/jobs/misplaced_keys.sql
\ir ../functions/jobs/mirror_moving_row.sql
\ir ../functions/jobs/begin_partition_move.sql
\ir ../functions/jobs/copy_moving_rows.sql
\ir ../functions/jobs/finish_partition_move.sql
\ir ../functions/jobs/ensure_partitions.sql

select ensure_partitions();
