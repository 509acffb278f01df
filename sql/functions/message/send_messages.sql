-- Replies and activities are handled in separate functions, and not in the statement of insert_messages(): starting that
-- larger plan for each batch took 0.2 ms longer, while a message without mentions or a parent takes 0.03 ms longer this way.
create or replace function send_messages(_items json, _channel_ids bigint[], _has_parents boolean, _has_mentions boolean, _has_files boolean, _wait boolean)
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
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  -- Users for whom the batch itself records activities: all that a message can mention by name, and some followers.
  _recorded_at_once constant int := 100;
  -- Items with mentions or a parent: the tenant, the name of the sender, whether it is a reply, and whether it mentions the
  -- whole channel.
  _followups jsonb;
  _followup jsonb;
  _next_after bigint;
  -- Files by item; null if no item has any.
  _files jsonb;
begin
  -- Without parsing the items here.
  if not (_has_parents or _has_mentions or _has_files) then
    if json_array_length(_items) = 1 then
      return query
      select p.item, p.error_reason, p.message_id, p."position", p.created_at, p.seq, p.payload, null::text, false
      from insert_message(_items, _wait) as p;
      return;
    end if;
    return query
    select p.item, p.error_reason, p.message_id, p."position", p.created_at, p.seq, p.payload, null::text, false
    from insert_messages(_items, _channel_ids, false, false, _wait) as p;
    return;
  end if;

  select jsonb_object_agg(i.item, i.attachments)
  into _files
  from json_to_recordset(_items) as i(item int, attachments jsonb)
  where i.attachments is not null;

  select jsonb_object_agg(
    i.item,
    jsonb_build_object(
      'tenant', i."tenantId",
      'name', coalesce(i."userName", ''),
      'reply', i."parentId" is not null,
      'all', i."mentionScope" is not distinct from 'CHANNEL'
    )
  )
  into _followups
  from json_to_recordset(_items) as i(
    item int, "tenantId" bigint, "userName" text, mentions bigint[], "mentionScope" text, "parentId" bigint
  )
  where i.mentions != '{}' or i."mentionScope" = 'CHANNEL' or i."parentId" is not null;

  for item, error_reason, message_id, "position", created_at, seq, payload in
    select p.item, p.error_reason, p.message_id, p."position", p.created_at, p.seq, p.payload
    from insert_messages(_items, _channel_ids, _has_parents, _has_files, _wait) as p
  loop
    activities := null;
    if error_reason is null and _files ? item::text then
      perform link_attachments(message_id, (_files -> item::text)::json);
    end if;
    has_pending := false;
    _followup := _followups -> item::text;
    if error_reason is null and _followup is not null then
      if (_followup ->> 'reply')::boolean then
        payload := record_reply(message_id, payload);
      end if;
      -- Everything for a mention of the whole channel is recorded after the batch, so that its cost does not depend on the
      -- number of members.
      _next_after := 0;
      if not (_followup ->> 'all')::boolean then
        select r.activities, r.next_after
        into activities, _next_after
        from record_message(message_id, _followup ->> 'name', 0, _recorded_at_once) as r;
      end if;
      if _next_after is not null then
        insert into pending_activities (message_id, tenant_id, actor_name, after_user_id, due_at)
        values (message_id, (_followup ->> 'tenant')::bigint, _followup ->> 'name', _next_after, created_at);
        has_pending := true;
      end if;
    end if;
    return next;
  end loop;
end
$$;
comment on function send_messages(json, bigint[], boolean, boolean, boolean, boolean) is
  'Sends a batch of messages of any callers and tenants. _channel_ids are the channels of the items; the flags state whether any item has a parent, mentions or files. Each item is checked separately: tenant, membership (not needed with isManager, for a service that acts for no user), archived channel, parent, files. error_reason is null for a sent message, REPEATED if its request id was used before, CHANNEL_BUSY if another transaction has locked the channel (not with _wait, which waits up to 750 ms), else an ErrorReason. A rejected item does not affect the others. activities are those recorded for the users whom a message mentions or whose threads it replies in, as JSON; null if there are none. has_pending: further ones are in pending_activities.';

alter function send_messages(json, bigint[], boolean, boolean, boolean, boolean) owner to discuss_system;
revoke all on function send_messages(json, bigint[], boolean, boolean, boolean, boolean) from public;
grant execute on function send_messages(json, bigint[], boolean, boolean, boolean, boolean) to discuss_service;
