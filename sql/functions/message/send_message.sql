-- In simple statements: starting the plan of send_messages() takes longer than all of these. A function of scalars without
-- a set as its result, because arrays, JSON and a second function took another 0.05 ms.
create or replace function send_message(
  _tenant_id bigint, _user_id bigint, _is_manager boolean, _channel_id bigint, _request_id uuid, _payload_hash bytea,
  _type text, _content text, _metadata text, _payload bytea, _seq_offset int, _message_offset int, _wait boolean,
  out error_reason text, out message_id bigint, out "position" bigint, out created_at bigint, out seq bigint, out payload bytea
)
language plpgsql security definer
set search_path = public, pg_temp
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
declare
  _channel record;
  _member record;
  -- Not the columns of the result, which are also columns of these tables.
  _id bigint;
  _seq bigint;
  _place bigint;
  _now bigint;
  _event bytea;
begin
  if _wait then
    perform set_config('lock_timeout', '750', true);
    select c.is_archived, c.event_seq, c.post_seq, c.last_message_at, c.data_key_id
    into _channel
    from channels c
    where c.id = _channel_id and c.tenant_id = _tenant_id and c.deleted_at is null
    for no key update;
  else
    select c.is_archived, c.event_seq, c.post_seq, c.last_message_at, c.data_key_id
    into _channel
    from channels c
    where c.id = _channel_id and c.tenant_id = _tenant_id and c.deleted_at is null
    for no key update skip locked;
  end if;
  if not found then
    perform 1
    from channels c
    where c.id = _channel_id and c.tenant_id = _tenant_id and c.deleted_at is null;
    error_reason := case when found and not _wait then 'CHANNEL_BUSY' else 'CHANNEL_NOT_FOUND' end;
    return;
  end if;

  select m.status, m.restricted_until
  into _member
  from channel_members m
  where m.channel_id = _channel_id and m.user_id = _user_id and is_member_status(m.status);
  if _member.status is null and _is_manager is not true then
    error_reason := 'CHANNEL_NOT_FOUND';
    return;
  end if;
  if is_restricted(_member.status, _member.restricted_until) then
    error_reason := 'MEMBER_MUTED';
    return;
  end if;
  if _channel.is_archived then
    error_reason := 'CHANNEL_ARCHIVED';
    return;
  end if;
  if _channel.data_key_id is not null then
    error_reason := 'KEY_CHANGED';
    return;
  end if;

  _id := nextval('messages_id_seq');
  insert into idempotency_keys
    (tenant_id, user_id, request_id, method, payload_hash, channel_id, resource_id, created_at)
  values (_tenant_id, _user_id, _request_id, 'SendMessage', _payload_hash, _channel_id, _id, now_ms())
  on conflict do nothing;
  if not found then
    error_reason := 'REPEATED';
    return;
  end if;

  _place := _channel.post_seq + 1;
  _seq := _channel.event_seq + 1;
  _now := greatest(_channel.last_message_at, now_ms());
  _event := patch_event(patch_message(_payload, _message_offset, _id, _place, _now), _seq_offset, _seq, _now);
  update channels c
  set event_seq = _seq,
      post_seq = _place,
      last_message_id = _id,
      message_count = c.message_count + 1,
      last_message_at = _now,
      updated_at = greatest(c.updated_at, _now),
      unread_version = c.unread_version + 1
  where c.id = _channel_id;
  insert into messages
    (id, channel_id, sender_id, tenant_id, content, message_type, metadata, post_seq, event_seq, created_event_seq,
     created_at, updated_at)
  values (
    _id, _channel_id, _user_id, _tenant_id, _content, _type, _metadata::jsonb, _place, _seq, _seq, _now, _now
  );
  insert into channel_events (channel_id, seq, tenant_id, kind, message_id, actor_id, created_at, payload)
  values (_channel_id, _seq, _tenant_id, 'MESSAGE_CREATED', _id, _user_id, _now, _event);
  update channel_members m
  set own_posts = m.own_posts + 1
  where m.channel_id = _channel_id and m.user_id = _user_id;

  message_id := _id;
  "position" := _place;
  created_at := _now;
  seq := _seq;
  payload := _event;
end
$$;
comment on function send_message(bigint, bigint, boolean, bigint, uuid, bytea, text, text, text, bytea, int, int, boolean) is
  'Sends a single message without a parent, mentions or files to a channel that is not encrypted, with the checks and results of send_messages().';

alter function send_message(bigint, bigint, boolean, bigint, uuid, bytea, text, text, text, bytea, int, int, boolean) owner to discuss_system;
revoke all on function send_message(bigint, bigint, boolean, bigint, uuid, bytea, text, text, text, bytea, int, int, boolean) from public;
grant execute on function send_message(bigint, bigint, boolean, bigint, uuid, bytea, text, text, text, bytea, int, int, boolean) to discuss_service;
