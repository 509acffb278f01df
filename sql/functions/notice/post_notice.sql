create or replace function post_notice(_channel_id bigint, _notice jsonb, _actor_id bigint, _payload bytea, _seq_offset int, _message_offset int)
returns table (channel_id bigint, seq bigint, payload bytea)
language plpgsql security definer
set search_path = public, pg_temp
as $$
declare
  _channel record;
  _patched bytea;
begin
  -- The id is assigned while the row is locked, as in insert_messages(); a call that waits for the row gets a higher one.
  update channels c
  set event_seq = c.event_seq + 1,
      post_seq = c.post_seq + 1,
      last_message_id = nextval('messages_id_seq')
  where c.id = _channel_id and c.tenant_id = app_tenant_id()
  returning
    c.tenant_id, c.event_seq, c.post_seq, c.last_message_id as id, greatest(c.last_message_at, now_ms()) as now
  into _channel;
  if not found then
    raise exception 'post_notice: channel % is not of the tenant', _channel_id using errcode = 'insufficient_privilege';
  end if;
  insert into messages
    (id, channel_id, sender_id, tenant_id, content, message_type, notice,
     post_seq, event_seq, created_event_seq, created_at, updated_at)
  values
    (_channel.id, _channel_id, 0, _channel.tenant_id, '', 'SYSTEM', _notice,
     _channel.post_seq, _channel.event_seq, _channel.event_seq, _channel.now, _channel.now);
  _patched := patch_event(
    patch_message(_payload, _message_offset, _channel.id, _channel.post_seq, _channel.now),
    _seq_offset, _channel.event_seq, _channel.now
  );
  insert into channel_events (channel_id, seq, tenant_id, kind, message_id, actor_id, created_at, payload)
  values
    (_channel_id, _channel.event_seq, _channel.tenant_id, 'MESSAGE_CREATED', _channel.id, _actor_id, _channel.now,
     _patched);
  return query select _channel_id, _channel.event_seq, _patched;
end
$$;
comment on function post_notice(bigint, jsonb, bigint, bytea, int, int) is
  'Posts a notice in a channel of the caller''s tenant, archived or not, and returns its event as stored. Locks the channel''s row until commit. Checks only the tenant.';

alter function post_notice(bigint, jsonb, bigint, bytea, int, int) owner to discuss_system;
revoke all on function post_notice(bigint, jsonb, bigint, bytea, int, int) from public;
grant execute on function post_notice(bigint, jsonb, bigint, bytea, int, int) to discuss_service;
