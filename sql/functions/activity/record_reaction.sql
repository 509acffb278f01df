create or replace function record_reaction(
  _channel_id bigint,
  _message_id bigint,
  _emoji text,
  _actor_name text,
  _given boolean
) returns text
language plpgsql security definer
set search_path = public, pg_temp
set plan_cache_mode = force_generic_plan
as $$
declare
  _target record;
  _open activity_feed;
  _recorded activity_feed;
  _mine constant jsonb := jsonb_build_object('user_id', app_user_id(), 'emoji', _emoji);
  _reactions jsonb;
  _last jsonb;
begin
  if _given is null then
    return null;
  end if;
  select
    p.tenant_id, p.sender_id, p.content, t.now, c.name, 'reaction:' || p.id as key,
    wants_activity(m.is_muted, m.notification_level, false) as wants,
    -- Compared with _given below: the message must have, or no longer have, the caller's reaction.
    p.reactions @> jsonb_build_array(
      jsonb_build_object('emoji', _emoji, 'users', jsonb_build_array(app_user_id()))
    ) as reacted
  into _target
  from messages p
  join channels c on c.id = p.channel_id
  join channel_members m on m.channel_id = c.id and m.user_id = p.sender_id
  cross join (select now_ms() as now) as t
  where p.id = _message_id
    and p.channel_id = _channel_id
    and p.tenant_id = app_tenant_id()
    and p.sender_id != app_user_id()
    and is_member_status(m.status);
  if not found or _target.reacted != _given or (_given and not _target.wants) then
    return null;
  end if;

  select a.*
  into _open
  from activity_feed a
  where a.tenant_id = _target.tenant_id
    and a.user_id = _target.sender_id
    and a.collapse_key = _target.key
    and not a.is_read
  for no key update;
  _reactions := coalesce(_open.collapsed_reactions, '[]');
  if (_reactions @> jsonb_build_array(_mine)) = _given then
    return null;
  end if;
  if _given then
    _reactions := case when jsonb_array_length(_reactions) < 100 then _reactions else _reactions - 0 end
      || jsonb_build_array(_mine || jsonb_build_object('name', _actor_name));
  else
    select coalesce(jsonb_agg(g.reaction order by g.place), '[]')
    into _reactions
    from jsonb_array_elements(_reactions) with ordinality as g(reaction, place)
    where not g.reaction @> _mine;
  end if;

  if _reactions = '[]' then
    delete from activity_feed a
    where a.id = _open.id and a."timestamp" = _open."timestamp"
    returning a.* into _recorded;
    _recorded.occurrences := 0;
    return json_build_array(activity_json(_recorded, _target.content))::text;
  end if;

  _last := _reactions -> -1;
  if _open.id is null then
    insert into activity_feed
      (tenant_id, user_id, action_type, actor_id, channel_id, message_id, description, title, metadata,
       collapse_key, collapsed_reactions, "timestamp", created_at)
    values (
      _target.tenant_id, _target.sender_id, 'REACTION_RECEIVED', app_user_id(), _channel_id, _message_id,
      activity_text('REACTION_RECEIVED', _actor_name, _target.name, _emoji), nullif(left(_target.name, 255), ''),
      jsonb_build_object('actor_name', _actor_name, 'channel_name', _target.name, 'emoji', _emoji),
      _target.key, _reactions, _target.now, _target.now
    )
    returning * into _recorded;
  else
    update activity_feed a
    set occurrences = greatest(a.occurrences + case when _given then 1 else -1 end, jsonb_array_length(_reactions)),
        actor_id = (_last ->> 'user_id')::bigint,
        description = activity_text('REACTION_RECEIVED', _last ->> 'name', _target.name, _last ->> 'emoji'),
        metadata = jsonb_build_object(
          'actor_name', _last ->> 'name', 'channel_name', _target.name, 'emoji', _last ->> 'emoji'
        ),
        collapsed_reactions = _reactions,
        -- A removal is not new: the activity keeps its place, and stays covered by snapshots that contain it.
        "timestamp" = case when _given then greatest(a."timestamp", _target.now) else a."timestamp" end,
        xid = case when _given then pg_current_xact_id() else a.xid end
    where a.id = _open.id and a."timestamp" = _open."timestamp"
    returning a.* into _recorded;
  end if;
  return json_build_array(activity_json(_recorded, _target.content))::text;
end
$$;
comment on function record_reaction(bigint, bigint, text, text, boolean) is
  'Records for the sender of a message that the caller reacted to it (_given true), or removes a reaction from that activity (_given false); null does nothing. All reactions to a message are one activity until it is read. Checks the reaction itself. Returns the activity as JSON, with 0 occurrences if no reaction is left, or null if nothing changed.';

alter function record_reaction(bigint, bigint, text, text, boolean) owner to discuss_system;
revoke all on function record_reaction(bigint, bigint, text, text, boolean) from public;
grant execute on function record_reaction(bigint, bigint, text, text, boolean) to discuss_service;
