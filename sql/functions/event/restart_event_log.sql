create or replace function restart_event_log() returns void
language plpgsql security definer
set search_path = public, pg_temp
as $$
begin
  update event_log_state set epoch = epoch + 1 + (random() * 1000000000)::bigint;
  -- Where a dump was restored, transactions are numbered anew, and these would be waited for.
  update channel_events set xid = pg_current_xact_id() where xid > pg_current_xact_id();
end
$$;
comment on function restart_event_log() is
  'To be called by the owner after the database was restored from a backup: cursors of StreamTenantEvents from before may be of events that are no more, so their holders are told to read anew.';

alter function restart_event_log() owner to discuss_system;
revoke all on function restart_event_log() from public;
