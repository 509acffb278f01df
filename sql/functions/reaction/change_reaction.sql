create or replace function change_reaction(
  _channel_id bigint,
  _message_id bigint,
  _emoji text,
  _added boolean,
  _max_emoji int,
  _max_users int,
  _payload bytea,
  _seq_offset int
)
returns table (error_reason text, reactions text, seq bigint, payload bytea)
language plpgsql
set search_path = public, pg_temp
as $$
#variable_conflict use_column
declare
  _user_id bigint := app_user_id();
  _found record;
  _changed jsonb;
  _users jsonb;
  _users_before jsonb;
  _seq bigint;
  _logged bytea;
begin
  perform 1
  from channels c
  where c.id = _channel_id and c.tenant_id = app_tenant_id() and c.deleted_at is null
  for no key update;

  -- Not in the statement that locks, whose snapshot is older than the commit that it waited for.
  select c.is_archived, cm.status, m.id, m.is_deleted, m.reactions, c.event_seq
  into _found
  from channels c
  join channel_members cm
    on cm.channel_id = c.id and cm.user_id = _user_id and is_member_status(cm.status)
  left join messages m on m.id = _message_id and m.channel_id = c.id and m.tenant_id = c.tenant_id
  where c.id = _channel_id and c.tenant_id = app_tenant_id() and c.deleted_at is null;

  if not found or _found.id is null then
    return query select 'MESSAGE_NOT_FOUND', null::text, null::bigint, null::bytea;
    return;
  end if;
  _changed := apply_reaction(_found.reactions, _emoji, _user_id, _added);
  _users := reaction_users(_changed, _emoji);
  _users_before := reaction_users(_found.reactions, _emoji);
  error_reason := case
    when _found.is_deleted then 'MESSAGE_DELETED'
    when _found.is_archived then 'CHANNEL_ARCHIVED'
    when _found.status = 'MUTED' then 'MEMBER_MUTED'
    when _changed = _found.reactions then null
    when _added and (jsonb_array_length(_changed) > _max_emoji or jsonb_array_length(_users) > _max_users)
      then 'REACTION_LIMIT'
  end;
  if error_reason is not null or _changed = _found.reactions then
    return query select error_reason, shorten_reactions(_found.reactions), null::bigint, null::bytea;
    return;
  end if;

  update messages m
  set reactions = _changed,
      event_seq = _found.event_seq + 1,
      updated_at = now_ms()
  where m.id = _message_id and m.tenant_id = app_tenant_id();

  select e.seq, e.payload
  into _seq, _logged
  from append_event(
    _channel_id,
    'REACTION_CHANGED',
    _user_id,
    patch_reaction(
      _payload,
      jsonb_array_length(_users),
      case
        when not _added and jsonb_path_query_array(_users_before, '$[0 to 19]') @> to_jsonb(_user_id)
          then coalesce((_users ->> 19)::bigint, 0)
        else 0
      end
    ),
    _seq_offset,
    _message_id
  ) as e;
  return query select null::text, shorten_reactions(_changed), _seq, _logged;
end
$$;
comment on function change_reaction(bigint, bigint, text, boolean, int, int, bytea, int) is
  'Adds or removes the caller''s reaction and appends the event, in one round trip and under the lock of the channel. error_reason is null on success; seq is null if nothing had to change.';
