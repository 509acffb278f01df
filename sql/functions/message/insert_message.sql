-- The same as insert_messages() for a single message, in simple statements: starting the plan of a batch takes longer than
-- all of these (batches of one: 805 us CPU with it).
create or replace function insert_message(_items json, _wait boolean)
returns table (
  item int,
  error_reason text,
  message_id bigint,
  "position" bigint,
  created_at bigint,
  seq bigint,
  payload bytea
)
language plpgsql security definer
set search_path = public, pg_temp
set enable_seqscan = off
set plan_cache_mode = force_generic_plan
as $$
declare
  _new record;
  _channel record;
  _status text;
  _restricted_until bigint;
  -- Not the columns of the result, which are also columns of these tables.
  _id bigint;
  _seq bigint;
  _place bigint;
  _now bigint;
  _event bytea;
begin
  item := 0;
  select r.*
  into _new
  from json_to_record(_items -> 0) as r(
    "tenantId" bigint, "userId" bigint, "isManager" boolean, "channelId" bigint, "requestId" uuid, "payloadHash" text,
    type text, content text, metadata jsonb, payload text, "seqOffset" int, "messageOffset" int
  );

  if _wait then
    perform set_config('lock_timeout', '750', true);
    select c.is_archived, c.event_seq, c.post_seq, c.last_message_at
    into _channel
    from channels c
    where c.id = _new."channelId" and c.tenant_id = _new."tenantId" and c.deleted_at is null
    for no key update;
  else
    select c.is_archived, c.event_seq, c.post_seq, c.last_message_at
    into _channel
    from channels c
    where c.id = _new."channelId" and c.tenant_id = _new."tenantId" and c.deleted_at is null
    for no key update skip locked;
  end if;
  if not found then
    perform 1
    from channels c
    where c.id = _new."channelId" and c.tenant_id = _new."tenantId" and c.deleted_at is null;
    error_reason := case when found and not _wait then 'CHANNEL_BUSY' else 'CHANNEL_NOT_FOUND' end;
    return next;
    return;
  end if;

  select m.status, m.restricted_until
  into _status, _restricted_until
  from channel_members m
  where m.channel_id = _new."channelId" and m.user_id = _new."userId" and is_member_status(m.status);
  error_reason := case
    when _status is null and _new."isManager" is not true then 'CHANNEL_NOT_FOUND'
    when is_restricted(_status, _restricted_until) then 'MEMBER_MUTED'
    when _channel.is_archived then 'CHANNEL_ARCHIVED'
  end;
  if error_reason is null then
    _id := nextval('messages_id_seq');
    insert into idempotency_keys
      (tenant_id, user_id, request_id, method, payload_hash, channel_id, resource_id, created_at)
    values (
      _new."tenantId", _new."userId", _new."requestId", 'SendMessage', decode(_new."payloadHash", 'base64'),
      _new."channelId", _id, now_ms()
    )
    on conflict do nothing;
    if not found then
      error_reason := 'REPEATED';
    end if;
  end if;
  if error_reason is not null then
    return next;
    return;
  end if;

  _place := _channel.post_seq + 1;
  _seq := _channel.event_seq + 1;
  _now := greatest(_channel.last_message_at, now_ms());
  _event := patch_event(
    patch_message(decode(_new.payload, 'base64'), _new."messageOffset", _id, _place, _now), _new."seqOffset", _seq, _now
  );
  update channels c
  set event_seq = _seq,
      post_seq = _place,
      last_message_id = _id,
      message_count = c.message_count + 1,
      last_message_at = _now,
      updated_at = greatest(c.updated_at, _now),
      unread_version = c.unread_version + 1
  where c.id = _new."channelId";
  insert into messages
    (id, channel_id, sender_id, tenant_id, content, message_type, metadata, post_seq, event_seq, created_event_seq,
     created_at, updated_at)
  values (
    _id, _new."channelId", _new."userId", _new."tenantId", _new.content, _new.type, _new.metadata, _place, _seq, _seq, _now, _now
  );
  insert into channel_events (channel_id, seq, tenant_id, kind, message_id, actor_id, created_at, payload)
  values (_new."channelId", _seq, _new."tenantId", 'MESSAGE_CREATED', _id, _new."userId", _now, _event);
  update channel_members m
  set own_posts = m.own_posts + 1
  where m.channel_id = _new."channelId" and m.user_id = _new."userId";

  message_id := _id;
  "position" := _place;
  created_at := _now;
  seq := _seq;
  payload := _event;
  return next;
end
$$;
comment on function insert_message(json, boolean) is
  'Inserts a single message without a parent, mentions or files, with the results of insert_messages(). Only send_messages() calls it.';

alter function insert_message(json, boolean) owner to discuss_system;
revoke all on function insert_message(json, boolean) from public;
