create or replace function restart_event_log() returns void
language plpgsql security definer
set search_path = public, pg_temp
as $$
begin
  update event_log_state
  set epoch = epoch + 1 + (random() * 1000000000)::bigint,
      -- Behind the events that get a new xid below: their activities are recorded.
      activities_xid = (pg_current_xact_id()::text::bigint + 1)::text::xid8;
  -- In a restored dump transaction ids start again, and readers would wait for these.
  update channel_events set xid = pg_current_xact_id() where xid > pg_current_xact_id();
end
$$;
comment on function restart_event_log() is
  'Starts a new epoch of the log. renew_event_log() calls it when the database was restored, and the owner where that is not recognized: older cursors of StreamTenantEvents may point at events that no longer exist, and are rejected.';

alter function restart_event_log() owner to discuss_system;
revoke all on function restart_event_log() from public;
