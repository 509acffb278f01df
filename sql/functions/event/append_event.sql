create or replace function append_event(
  _channel_id bigint,
  _kind text,
  _actor_id bigint,
  _payload bytea,
  _seq_offset int,
  _message_id bigint default null
)
returns table (channel_id bigint, seq bigint, payload bytea)
language plpgsql security definer
set search_path = public, pg_temp
as $$
declare
  _seq bigint;
  _now bigint := now_ms();
  _patched bytea;
begin
  update channels c
  set event_seq = c.event_seq + 1
  where c.id = _channel_id and c.tenant_id = app_tenant_id()
  returning c.event_seq into _seq;
  if not found then
    raise exception 'append_event: channel % is not of the tenant', _channel_id using errcode = 'insufficient_privilege';
  end if;
  _patched := patch_event(_payload, _seq_offset, _seq, _now);
  insert into channel_events (channel_id, seq, tenant_id, kind, message_id, actor_id, created_at, payload)
  values (_channel_id, _seq, app_tenant_id(), _kind, _message_id, _actor_id, _now, _patched);
  return query select _channel_id, _seq, _patched;
end
$$;
comment on function append_event(bigint, text, bigint, bytea, int, bigint) is
  'Appends an event to the log of a channel of the caller''s tenant and returns it as stored. _message_id is the message it concerns, if any. Locks the channel''s row until commit. Checks only the tenant.';

alter function append_event(bigint, text, bigint, bytea, int, bigint) owner to discuss_system;
revoke all on function append_event(bigint, text, bigint, bytea, int, bigint) from public;
grant execute on function append_event(bigint, text, bigint, bytea, int, bigint) to discuss_service;
