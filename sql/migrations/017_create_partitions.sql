\ir ../functions/jobs/partition_columns.sql
\ir ../functions/jobs/create_partition.sql
\ir ../functions/jobs/misplaced_keys.sql
\ir ../functions/jobs/ensure_partitions.sql

select ensure_partitions();
