create or replace function record_reactions(_message_id bigint, _changes jsonb) returns text
language plpgsql security definer
set search_path = public, pg_temp
set plan_cache_mode = force_generic_plan
as $$
declare
  _target record;
  _open activity_feed;
  _recorded activity_feed;
  _change record;
  _reactions jsonb;
  _occurrences int;
  _last jsonb;
  _is_changed boolean := false;
  _is_new boolean := false;
begin
  select
    p.tenant_id, p.sender_id, p.channel_id, p.content, now_ms() as now, c.name, 'reaction:' || p.id as key,
    wants_activity(m.is_muted, m.notification_level, false) as wants
  into _target
  from messages p
  join channels c on c.id = p.channel_id
  join channel_members m on m.channel_id = c.id and m.user_id = p.sender_id
  where p.id = _message_id
    and is_member_status(m.status);
  if not found then
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
  _occurrences := coalesce(_open.occurrences, 0);

  for _change in
    select
      (g.change ->> 'added')::boolean as added,
      g.change ->> 'userName' as user_name,
      jsonb_build_object('user_id', g.change -> 'userId', 'emoji', g.change -> 'emoji') as reaction
    from jsonb_array_elements(_changes) with ordinality as g(change, nth)
    where (g.change ->> 'userId')::bigint != _target.sender_id
      and (_target.wants or not (g.change ->> 'added')::boolean)
    order by g.nth
  loop
    continue when (_reactions @> jsonb_build_array(_change.reaction)) = _change.added;
    if _change.added then
      _reactions := case when jsonb_array_length(_reactions) < 100 then _reactions else _reactions - 0 end
        || jsonb_build_array(_change.reaction || jsonb_build_object('name', _change.user_name));
      _is_new := true;
    else
      select coalesce(jsonb_agg(g.reaction order by g.place), '[]')
      into _reactions
      from jsonb_array_elements(_reactions) with ordinality as g(reaction, place)
      where not g.reaction @> _change.reaction;
    end if;
    _is_changed := true;
    _occurrences := case
      when _reactions = '[]' then 0
      else greatest(_occurrences + case when _change.added then 1 else -1 end, jsonb_array_length(_reactions))
    end;
  end loop;
  if not _is_changed or (_open.id is null and _reactions = '[]') then
    return null;
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
       collapse_key, collapsed_reactions, occurrences, "timestamp", created_at)
    values (
      _target.tenant_id, _target.sender_id, 'REACTION_RECEIVED', (_last ->> 'user_id')::bigint, _target.channel_id,
      _message_id, activity_text('REACTION_RECEIVED', _last ->> 'name', _target.name, _last ->> 'emoji'),
      nullif(left(_target.name, 255), ''),
      jsonb_build_object(
        'actor_name', _last ->> 'name', 'channel_name', _target.name, 'emoji', _last ->> 'emoji'
      ),
      _target.key, _reactions, _occurrences, _target.now, _target.now
    )
    returning * into _recorded;
  else
    update activity_feed a
    set occurrences = _occurrences,
        version = a.version + 1,
        actor_id = (_last ->> 'user_id')::bigint,
        description = activity_text('REACTION_RECEIVED', _last ->> 'name', _target.name, _last ->> 'emoji'),
        metadata = jsonb_build_object(
          'actor_name', _last ->> 'name', 'channel_name', _target.name, 'emoji', _last ->> 'emoji'
        ),
        collapsed_reactions = _reactions,
        -- A removal is not new: the activity keeps its place, and stays covered by snapshots that contain it.
        "timestamp" = case when _is_new then greatest(a."timestamp", _target.now) else a."timestamp" end,
        xid = case when _is_new then pg_current_xact_id() else a.xid end
    where a.id = _open.id and a."timestamp" = _open."timestamp"
    returning a.* into _recorded;
  end if;
  return json_build_array(activity_json(_recorded, _target.content))::text;
end
$$;
comment on function record_reactions(bigint, jsonb) is
  'Records for the sender of a message that users reacted to it, or removes their reactions from that activity. Only change_reactions() calls it. All reactions to a message are one activity until it is read. Returns the activity as JSON, with 0 occurrences if no reaction is left, or null if nothing changed.';

alter function record_reactions(bigint, jsonb) owner to discuss_system;
revoke all on function record_reactions(bigint, jsonb) from public;
