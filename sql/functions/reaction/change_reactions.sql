create or replace function change_reactions(
  _tenant_id bigint,
  _channel_id bigint,
  _message_id bigint,
  _items json,
  _max_emoji int,
  _max_users int
)
returns table (item int, error_reason text, seq bigint, payload bytea, reactions text, activities text)
language plpgsql security definer
set search_path = public, pg_temp
-- A batch that waits longer gives its connection to other calls and is tried again.
set lock_timeout = '750ms'
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
  _found record;
  _reactions jsonb;
  _seq bigint;
  _now bigint;
  _emoji text;
  _users bigint[];
  _item record;
  _place int;
  _changes jsonb := '[]';
begin
  perform 1
  from channels c
  where c.id = _channel_id and c.tenant_id = _tenant_id and c.deleted_at is null
  for no key update;

  -- Not in the statement that locks, whose snapshot is older than the commit that it waited for.
  select c.is_archived, c.event_seq, m.is_deleted, m.reactions
  into _found
  from channels c
  join messages m on m.id = _message_id and m.channel_id = c.id and m.tenant_id = c.tenant_id
  where c.id = _channel_id and c.tenant_id = _tenant_id and c.deleted_at is null;
  _reactions := coalesce(_found.reactions, '[]');
  _seq := _found.event_seq;
  _now := now_ms();

  -- By emoji, so that the users of each are unpacked and packed once.
  for _emoji in
    select i.emoji
    from json_to_recordset(_items) as i(item int, emoji text)
    group by i.emoji
    order by min(i.item)
  loop
    _users := array(select u::bigint from jsonb_array_elements(reaction_users(_reactions, _emoji)) as u);
    for _item in
      select i.*, m.status, m.restricted_until
      from json_to_recordset(_items) as i(
        item int, "userId" bigint, "userName" text, emoji text, added boolean, payload text, "seqOffset" int
      )
      left join channel_members m
        on m.channel_id = _channel_id and m.user_id = i."userId" and is_member_status(m.status)
      where i.emoji = _emoji
      order by i.item
    loop
      item := _item.item;
      seq := null;
      payload := null;
      _place := array_position(_users, _item."userId");
      error_reason := case
        when _found.event_seq is null or _item.status is null then 'MESSAGE_NOT_FOUND'
        when _found.is_deleted then 'MESSAGE_DELETED'
        when _found.is_archived then 'CHANNEL_ARCHIVED'
        when is_restricted(_item.status, _item.restricted_until) then 'MEMBER_MUTED'
        when not _item.added or _place is not null then null
        when cardinality(_users) >= _max_users or (_users = '{}' and jsonb_array_length(_reactions) >= _max_emoji)
          then 'REACTION_LIMIT'
      end;
      if error_reason is null and _item.added != (_place is not null) then
        _users := case when _item.added then _users || _item."userId" else array_remove(_users, _item."userId") end;
        -- At once, because an emoji that is added again comes last.
        if _users = '{}' then
          _reactions := put_reaction(_reactions, _emoji, _users);
        end if;
        _seq := _seq + 1;
        seq := _seq;
        payload := patch_event(
          patch_reaction(
            decode(_item.payload, 'base64'), cardinality(_users), case when _place <= 20 then coalesce(_users[20], 0) else 0 end
          ),
          _item."seqOffset", _seq, _now
        );
        insert into channel_events (channel_id, seq, tenant_id, kind, message_id, actor_id, created_at, payload)
        values (_channel_id, _seq, _tenant_id, 'REACTION_CHANGED', _message_id, _item."userId", _now, payload);
        _changes := _changes || jsonb_build_object(
          'userId', _item."userId", 'userName', _item."userName", 'emoji', _emoji, 'added', _item.added
        );
      end if;
      return next;
    end loop;
    _reactions := put_reaction(_reactions, _emoji, _users);
  end loop;

  if _seq > _found.event_seq then
    update messages m
    set reactions = _reactions,
        event_seq = _seq,
        updated_at = _now
    where m.id = _message_id and m.tenant_id = _tenant_id;
    update channels c
    set event_seq = _seq
    where c.id = _channel_id and c.tenant_id = _tenant_id;
    activities := record_reactions(_message_id, _changes);
  end if;
  item := null;
  error_reason := null;
  seq := null;
  payload := null;
  reactions := shorten_reactions(_reactions);
  return next;
end
$$;
comment on function change_reactions(bigint, bigint, bigint, json, int, int) is
  'Adds or removes reactions of any users of a tenant to a message, with an event each, in the order of the rows. Each item is checked separately: membership, deleted message, archived channel, limits. error_reason is null on success, seq if nothing had to change. A rejected item does not affect the others. The last row, without an item, has the reactions of the message after all items, and the activities of its sender that were recorded or removed, as JSON.';

alter function change_reactions(bigint, bigint, bigint, json, int, int) owner to discuss_system;
revoke all on function change_reactions(bigint, bigint, bigint, json, int, int) from public;
grant execute on function change_reactions(bigint, bigint, bigint, json, int, int) to discuss_service;
