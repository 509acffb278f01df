create or replace function database_identity() returns text
language sql stable parallel safe
return concat_ws(
  ' ',
  (select c.system_identifier from pg_control_system() as c),
  (select d.oid from pg_database d where d.datname = current_database()),
  -- Set by scripts/backup.ts.
  nullif(current_setting('discuss.restore_id', true), ''),
  nullif(current_setting('recovery_target_name'), ''),
  nullif(current_setting('recovery_target_time'), ''),
  nullif(current_setting('recovery_target_lsn'), ''),
  nullif(current_setting('recovery_target_xid'), '')
);
comment on function database_identity() is
  'Identifies the cluster, the database and the restore from which it comes: a dump that is restored has another database or cluster, a recovery another id of its restore or another target. The promotion of a standby changes nothing.';

revoke all on function database_identity() from public;
