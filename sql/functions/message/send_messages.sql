-- Replies and activities are handled in separate functions, and not in the statement of insert_messages(): starting that
-- larger plan for each batch took 0.2 ms longer, while a message without mentions or a parent takes 0.03 ms longer this way.
create or replace function send_messages(
  _tenant_ids bigint[], _user_ids bigint[], _managers boolean[], _channel_ids bigint[], _request_ids uuid[], _payload_hashes bytea[],
  _types text[], _contents text[], _metadata text[], _payloads bytea[], _seq_offsets int[], _message_offsets int[],
  _mentions text[], _mention_scopes text[], _parent_ids bigint[], _also_in_channel boolean[], _file_names text[],
  _files json, _user_names text[], _data_key_ids bigint[], _message_ids bigint[], _encrypted bytea[], _wait boolean
)
returns table (
  item int,
  error_reason text,
  message_id bigint,
  "position" bigint,
  created_at bigint,
  seq bigint,
  payload bytea,
  activities text,
  has_pending boolean
)
language plpgsql security definer
set search_path = public, pg_temp
-- As in insert_messages(), for record_reply() and record_message().
set enable_seqscan = off
set jit = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  -- Users for whom the batch itself records activities: all that a message can mention by name, and some followers.
  _recorded_at_once constant int := 100;
  _n int;
  _next_after bigint;
begin
  if _mentions is null and _parent_ids is null and _files is null and _message_ids is null then
    return query
    select p.item, p.error_reason, p.message_id, p."position", p.created_at, p.seq, p.payload, null::text, false
    from insert_messages(
      _tenant_ids, _user_ids, _managers, _channel_ids, _request_ids, _payload_hashes,
      _types, _contents, _metadata, _payloads, _seq_offsets, _message_offsets,
      null, null, null, null, null, null, null, null, null, _wait
    ) as p;
    return;
  end if;

  for item, error_reason, message_id, "position", created_at, seq, payload in
    select p.item, p.error_reason, p.message_id, p."position", p.created_at, p.seq, p.payload
    from insert_messages(
      _tenant_ids, _user_ids, _managers, _channel_ids, _request_ids, _payload_hashes,
      _types, _contents, _metadata, _payloads, _seq_offsets, _message_offsets,
      _mentions, _mention_scopes, _parent_ids, _also_in_channel, _file_names, _files,
      _data_key_ids, _message_ids, _encrypted, _wait
    ) as p
  loop
    _n := item + 1;
    activities := null;
    has_pending := false;
    if error_reason is null then
      if _files is not null then
        perform link_attachments(message_id, f.file -> 'attachments')
        from json_array_elements(_files) as f(file)
        where (f.file ->> 'item')::int = item;
      end if;
      if _parent_ids[_n] != 0 then
        payload := record_reply(message_id, payload);
      end if;
      if _parent_ids[_n] != 0 or _mentions[_n] != '{}' or _mention_scopes[_n] = 'CHANNEL' then
        -- Everything for a mention of the whole channel is recorded after the batch, so that its cost does not depend on
        -- the number of members.
        _next_after := 0;
        if _mention_scopes[_n] is distinct from 'CHANNEL' then
          select r.activities, r.next_after
          into activities, _next_after
          from record_message(message_id, _user_names[_n], 0, _recorded_at_once) as r;
        end if;
        if _next_after is not null then
          insert into pending_activities (message_id, tenant_id, actor_name, after_user_id, due_at)
          values (message_id, _tenant_ids[_n], _user_names[_n], _next_after, created_at);
          has_pending := true;
        end if;
      end if;
    end if;
    return next;
  end loop;
end
$$;
comment on function send_messages(bigint[], bigint[], boolean[], bigint[], uuid[], bytea[], text[], text[], text[], bytea[], int[], int[], text[], text[], bigint[], boolean[], text[], json, text[], bigint[], bigint[], bytea[], boolean) is
  'Sends a batch of messages of any callers and tenants. Each array has an element for each message; the arrays from _mentions to _user_names are null if no message of the batch has any of these or is encrypted, and _parent_ids has 0 for a message without a parent. _data_key_ids, _message_ids and _encrypted are the key, the id and the content of messages for encrypted channels, 0 and empty for others. _files are the files of messages with files: item, tenantId, userId, channelId and attachments. Each item is checked separately: tenant, membership (not needed for a manager, a service that acts for no user), archived channel, parent, files. error_reason is null for a sent message, REPEATED if its request id was used before, KEY_CHANGED if the channel has another data key, CHANNEL_BUSY if another transaction has locked the channel (not with _wait, which waits up to 750 ms) or a message with a higher id was posted, else an ErrorReason. A rejected item does not affect the others. activities are those recorded for the users whom a message mentions or whose threads it replies in, as JSON; null if there are none. has_pending: further ones are in pending_activities.';

alter function send_messages(bigint[], bigint[], boolean[], bigint[], uuid[], bytea[], text[], text[], text[], bytea[], int[], int[], text[], text[], bigint[], boolean[], text[], json, text[], bigint[], bigint[], bytea[], boolean) owner to discuss_system;
revoke all on function send_messages(bigint[], bigint[], boolean[], bigint[], uuid[], bytea[], text[], text[], text[], bytea[], int[], int[], text[], text[], bigint[], boolean[], text[], json, text[], bigint[], bigint[], bytea[], boolean) from public;
grant execute on function send_messages(bigint[], bigint[], boolean[], bigint[], uuid[], bytea[], text[], text[], text[], bytea[], int[], int[], text[], text[], bigint[], boolean[], text[], json, text[], bigint[], bigint[], bytea[], boolean) to discuss_service;
