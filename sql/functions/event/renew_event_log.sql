-- Owned by the owner of the tables, because only the owner can set sequences.
create or replace function renew_event_log() returns text
language plpgsql security definer
set search_path = public, pg_temp
as $$
declare
  -- Above the number of events and ids that can have been lost.
  _lost_events constant bigint := 1000000000;
  _lost_ids constant bigint := 1000000;
  _stored text;
  _current text;
begin
  select s.identity into _stored from event_log_state s;
  if pg_is_in_recovery() then
    return _stored;
  end if;
  _current := database_identity();
  if _stored = _current then
    return _stored;
  end if;

  select s.identity into _stored from event_log_state s for update;
  if _stored != _current then
    perform restart_event_log();
    -- Cursors and ids that clients hold may be of changes that no longer exist. The numbers of those are not used again.
    update channels c set event_seq = c.event_seq + _lost_events;
    perform setval('channels_id_seq', nextval('channels_id_seq') + _lost_ids);
    perform setval('messages_id_seq', nextval('messages_id_seq') + _lost_ids);
    perform setval('attachments_id_seq', nextval('attachments_id_seq') + _lost_ids);
    perform setval('activity_feed_id_seq', nextval('activity_feed_id_seq') + _lost_ids);
  end if;
  update event_log_state s
  set identity = _current
  where s.identity is distinct from _current;
  return _current;
end
$$;
comment on function renew_event_log() is
  'Returns the identity of the database to which the log belongs, see database_identity(). If the database was restored since the last call, first starts a new epoch of the log and leaves a gap in the numbers of each channel''s events, so that cursors of lost events receive RESET. Instances call it at start and with each poll of the log.';

revoke all on function renew_event_log() from public;
grant execute on function renew_event_log() to discuss_service;
