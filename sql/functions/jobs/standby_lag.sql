create or replace function standby_lag()
returns table (standby text, bytes bigint, ms bigint)
language sql stable security definer
set search_path = public, pg_temp
as $$
  select
    r.application_name,
    pg_wal_lsn_diff(pg_current_wal_lsn(), r.replay_lsn)::bigint,
    coalesce(extract(epoch from r.replay_lag) * 1000, 0)::bigint
  from pg_stat_replication r
  where r.replay_lsn is not null and not pg_is_in_recovery();
$$;
comment on function standby_lag() is
  'For each connected standby, the bytes and the time by which it applies the log of the server late. Without rows, if the owner of the schema is not a member of pg_read_all_stats. For metrics.';

revoke all on function standby_lag() from public;
grant execute on function standby_lag() to discuss_service;
