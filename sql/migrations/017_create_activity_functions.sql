-- The activity feed: recorded in the transaction of its cause, for the members whom it concerns and who want it.

alter table activity_feed
  add column collapse_key varchar(200),
  add column occurrences int not null default 1,
  add column xid xid8 not null default pg_current_xact_id();

comment on column activity_feed.collapse_key is
  'While an activity with a key is unread, what happens under the same key changes it instead of adding one; null: always one of its own.';
comment on column activity_feed.occurrences is 'How many times it happened since the user last read it, 1 without a collapse_key.';
comment on column activity_feed.xid is
  'Transaction that wrote it last. Whether a snapshot held it tells exactly what somebody was shown, which a time does not: activities commit in another order than they are timed.';

-- The unread activity that takes in what happens next under its key.
create index idx_activity_feed_collapse
  on activity_feed (tenant_id, user_id, collapse_key)
  where collapse_key is not null and not is_read;

create function wants_activity(_is_muted boolean, _notification_level text, _is_mention boolean) returns boolean
language sql immutable parallel safe
return not _is_muted and (_notification_level = 'ALL' or (_notification_level = 'MENTIONS' and _is_mention));
comment on function wants_activity(boolean, text, boolean) is
  'Whether a member with these settings is told: NONE and muted of nothing, MENTIONS of mentions alone.';

create function activity_text(_type text, _actor_name text, _channel_name text, _emoji text default '') returns text
language sql immutable parallel safe
return case
    when _actor_name = '' then case _type
      when 'MENTION_RECEIVED' then 'You were mentioned'
      when 'REPLY_RECEIVED' then 'There is a reply'
      when 'REACTION_RECEIVED' then format('There is a reaction %s to your message', _emoji)
      else 'You were added'
    end
    else _actor_name || case _type
      when 'MENTION_RECEIVED' then ' mentioned you'
      when 'REPLY_RECEIVED' then ' replied'
      when 'REACTION_RECEIVED' then format(' reacted %s to your message', _emoji)
      else ' added you'
    end
  end
  || case
    when _channel_name = '' then ''
    when _type = 'ADDED_TO_CHANNEL' then ' to ' || _channel_name
    else ' in ' || _channel_name
  end;
comment on function activity_text(text, text, text, text) is
  'The English sentence of an activity: "Lan mentioned you in Kho vận". Clients that speak other languages make theirs of type and metadata.';

create function activity_json(_a activity_feed, _preview text) returns json
language sql stable parallel safe
return json_build_object(
  'id', _a.id,
  'tenantId', _a.tenant_id,
  'userId', _a.user_id,
  'actionType', _a.action_type,
  'actorId', _a.actor_id,
  'entityType', _a.entity_type,
  'entityId', _a.entity_id,
  'channelId', _a.channel_id,
  'messageId', _a.message_id,
  'description', _a.description,
  'title', _a.title,
  'isRead', _a.is_read,
  'readAt', _a.read_at,
  'metadata', _a.metadata::text,
  'collapseKey', _a.collapse_key,
  'occurrences', _a.occurrences,
  'timestamp', _a."timestamp",
  'preview', left(_preview, 200),
  'isMessageDeleted', false
);
comment on function activity_json(activity_feed, text) is
  'An activity that was just recorded, as the service tells it to the streams of its user.';

-- What users do is recorded for others, so that these functions run as discuss_system; each looks for itself
-- whether it is true. Their callers hold the lock of the channel's row.

create function record_mentions(_channel_id bigint, _message_id bigint, _user_ids bigint[], _actor_name text) returns text
language sql volatile security definer
set search_path = public, pg_temp
begin atomic
  with recorded as (
    insert into activity_feed as a
      (tenant_id, user_id, action_type, actor_id, channel_id, message_id, description, title, metadata,
       "timestamp", created_at)
    select
      p.tenant_id, m.user_id, 'MENTION_RECEIVED', p.sender_id, c.id, p.id,
      activity_text('MENTION_RECEIVED', _actor_name, c.name), nullif(left(c.name, 255), ''),
      jsonb_build_object('actor_name', _actor_name, 'channel_name', c.name, 'reason', 'NAMED'), t.now, t.now
    from messages p
    join channels c on c.id = p.channel_id
    join channel_members m on m.channel_id = c.id
    cross join (select now_ms() as now) as t
    where p.id = _message_id
      and p.channel_id = _channel_id
      and p.tenant_id = app_tenant_id()
      and p.sender_id = app_user_id()
      and not p.is_deleted
      and m.user_id = any (_user_ids)
      and m.user_id = any (p.mentions)
      and m.user_id != p.sender_id
      and m.status in ('ACTIVE', 'MUTED')
      and wants_activity(m.is_muted, m.notification_level, true)
      -- A mention that is edited away and in again is told once.
      and not exists (
        select 1
        from activity_feed b
        where b.message_id = p.id
          and b.tenant_id = p.tenant_id
          and b.user_id = m.user_id
          and b.action_type = 'MENTION_RECEIVED'
      )
    order by m.user_id
    returning a as activity
  )
  select json_agg(activity_json(r.activity, p.content))::text
  from recorded r
  join messages p on p.id = _message_id;
end;
comment on function record_mentions(bigint, bigint, bigint[], text) is
  'Records for users that an edit of the caller''s message now mentions them. Returns the activities as JSON, null when there are none.';

create function record_additions(_channel_id bigint, _user_ids bigint[], _actor_name text) returns text
language sql volatile security definer
set search_path = public, pg_temp
begin atomic
  with recorded as (
    insert into activity_feed as a
      (tenant_id, user_id, action_type, actor_id, entity_type, entity_id, channel_id, description, title, metadata,
       "timestamp", created_at)
    select
      c.tenant_id, m.user_id, 'ADDED_TO_CHANNEL', app_user_id(), c.entity_type, c.entity_id, c.id,
      activity_text('ADDED_TO_CHANNEL', _actor_name, c.name), nullif(left(c.name, 255), ''),
      jsonb_build_object('actor_name', _actor_name, 'channel_name', c.name), t.now, t.now
    from channels c
    join channel_members m on m.channel_id = c.id
    cross join (select now_ms() as now) as t
    where c.id = _channel_id
      and c.tenant_id = app_tenant_id()
      and c.type != 'DIRECT'
      and m.user_id = any (_user_ids)
      and m.user_id != app_user_id()
      and m.status in ('ACTIVE', 'MUTED')
      and wants_activity(m.is_muted, m.notification_level, false)
      and (
        app_is_service()
        or exists (
          select 1
          from channel_members me
          where me.channel_id = c.id
            and me.user_id = app_user_id()
            and me.status in ('ACTIVE', 'MUTED')
        )
      )
    order by m.user_id
    returning a as activity
  )
  select json_agg(activity_json(r.activity, null))::text
  from recorded r;
end;
comment on function record_additions(bigint, bigint[], text) is
  'Records for users whom the caller just made members of a group or topic that they are. Returns the activities as JSON, null when there are none.';

create function record_reaction(
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
begin
  if _given is not true then
    return null;
  end if;
  select
    p.tenant_id, p.sender_id, p.content, t.now, c.name, 'reaction:' || p.id as key,
    activity_text('REACTION_RECEIVED', _actor_name, c.name, _emoji) as description,
    jsonb_build_object('actor_name', _actor_name, 'channel_name', c.name, 'emoji', _emoji) as metadata
  into _target
  from messages p
  join channels c on c.id = p.channel_id
  join channel_members m on m.channel_id = c.id and m.user_id = p.sender_id
  cross join (select now_ms() as now) as t
  where p.id = _message_id
    and p.channel_id = _channel_id
    and p.tenant_id = app_tenant_id()
    and p.sender_id != app_user_id()
    and m.status in ('ACTIVE', 'MUTED')
    and wants_activity(m.is_muted, m.notification_level, false)
    -- It is there: the caller is a member and did react.
    and p.reactions @> jsonb_build_array(
      jsonb_build_object('emoji', _emoji, 'users', jsonb_build_array(app_user_id()))
    );
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
  if not found then
    insert into activity_feed
      (tenant_id, user_id, action_type, actor_id, channel_id, message_id, description, title, metadata,
       collapse_key, "timestamp", created_at)
    values (
      _target.tenant_id, _target.sender_id, 'REACTION_RECEIVED', app_user_id(), _channel_id, _message_id,
      _target.description, nullif(left(_target.name, 255), ''), _target.metadata, _target.key,
      _target.now, _target.now
    )
    returning * into _recorded;
  elsif _open.actor_id = app_user_id() and _open.metadata ->> 'emoji' = _emoji then
    -- Taken back and given again: nothing to tell.
    return null;
  else
    update activity_feed a
    set occurrences = a.occurrences + 1,
        actor_id = app_user_id(),
        description = _target.description,
        metadata = _target.metadata,
        "timestamp" = greatest(a."timestamp", _target.now),
        xid = pg_current_xact_id()
    where a.id = _open.id and a."timestamp" = _open."timestamp"
    returning a.* into _recorded;
  end if;
  return json_build_array(activity_json(_recorded, _target.content))::text;
end
$$;
comment on function record_reaction(bigint, bigint, text, text, boolean) is
  'Records for the sender of a message that the caller reacted to it, as one activity for all reactions until it is read; nothing unless _given. Returns it as JSON, or null.';

create function record_activities(_items json, _request_id uuid, _payload_hash bytea)
returns table (refusal text, activities text)
language plpgsql
set search_path = public, pg_temp
as $$
#variable_conflict use_column
begin
  if _request_id is not null then
    insert into idempotency_keys (tenant_id, user_id, request_id, method, payload_hash, created_at)
    values (app_tenant_id(), app_user_id(), _request_id, 'RecordActivities', _payload_hash, now_ms())
    on conflict do nothing;
    if not found then
      return query
      select
        case
          when k.method = 'RecordActivities' and k.payload_hash = _payload_hash then 'REPEATED'
          else 'REQUEST_ID_REUSED'
        end,
        null::text
      from idempotency_keys k
      where k.tenant_id = app_tenant_id()
        and k.user_id = app_user_id()
        and k.request_id = _request_id;
      return;
    end if;
  end if;

  -- Two that record under one key take turns. Keys share 256 locks, so that a large batch takes no more than
  -- these, and takes them in order.
  perform pg_advisory_xact_lock(hashtext('discuss.record_activities'), s.stripe)
  from (
    select distinct hashtextextended(u.user_id || ':' || (i ->> 'collapseKey'), app_tenant_id())::bit(8)::int as stripe
    from json_array_elements(_items) as i
    cross join lateral json_array_elements_text(i -> 'userIds') as u(user_id)
    where i ->> 'collapseKey' is not null
    order by 1
  ) as s;

  return query
  with item as materialized (
    select i.*
    from json_to_recordset(_items) as i(
      item int, "userIds" bigint[], type text, "actorId" bigint, "entityType" text, "entityId" bigint,
      "channelId" bigint, title text, description text, metadata text, "collapseKey" text
    )
  ),
  wanted as materialized (
    select i.*, u.user_id
    from item i
    cross join lateral (select distinct unnest(i."userIds") as user_id) as u
    left join channels c on c.id = i."channelId" and c.tenant_id = app_tenant_id() and c.deleted_at is null
    left join channel_members m
      on m.channel_id = c.id and m.user_id = u.user_id and m.status in ('ACTIVE', 'MUTED')
    where u.user_id != i."actorId"
      and (i."channelId" is null or wants_activity(m.is_muted, m.notification_level, false))
  ),
  -- The last of each key says what it is; what has no key is one of its own.
  latest as materialized (
    select distinct on (w.user_id, w."collapseKey", case when w."collapseKey" is null then w.item end)
      w.*,
      count(*) over (
        partition by w.user_id, w."collapseKey", case when w."collapseKey" is null then w.item end
      )::int as occurrences,
      t.now
    from wanted w
    cross join (select now_ms() as now) as t
    order by w.user_id, w."collapseKey", case when w."collapseKey" is null then w.item end, w.item desc
  ),
  -- In the order in which readers lock them.
  open as materialized (
    select a.id, a."timestamp", a.user_id, a.collapse_key
    from activity_feed a
    where a.tenant_id = app_tenant_id()
      and not a.is_read
      and (a.user_id, a.collapse_key) in (
        select l.user_id, l."collapseKey" from latest l where l."collapseKey" is not null
      )
    order by a.id
    for no key update
  ),
  updated as (
    update activity_feed a
    set
      occurrences = a.occurrences + l.occurrences,
      action_type = l.type,
      actor_id = l."actorId",
      entity_type = l."entityType",
      entity_id = l."entityId",
      channel_id = l."channelId",
      title = l.title,
      description = l.description,
      metadata = l.metadata::jsonb,
      "timestamp" = greatest(a."timestamp", l.now),
      xid = pg_current_xact_id()
    from open o
    join latest l on l.user_id = o.user_id and l."collapseKey" = o.collapse_key
    where a.id = o.id and a."timestamp" = o."timestamp"
    returning a as activity, l.user_id, l."collapseKey"
  ),
  inserted as (
    insert into activity_feed as a
      (tenant_id, user_id, action_type, actor_id, entity_type, entity_id, channel_id, title, description, metadata,
       collapse_key, occurrences, "timestamp", created_at)
    select
      app_tenant_id(), l.user_id, l.type, l."actorId", l."entityType", l."entityId", l."channelId", l.title,
      l.description, l.metadata::jsonb, l."collapseKey", l.occurrences, l.now, l.now
    from latest l
    where l."collapseKey" is null
      or (l.user_id, l."collapseKey") not in (select o.user_id, o.collapse_key from open o)
    order by l.item, l.user_id
    returning a as activity
  )
  select null::text, json_agg(activity_json(r.activity, null))::text
  from (
    select u.activity from updated u
    union all
    select i.activity from inserted i
  ) as r;
end
$$;
comment on function record_activities(json, uuid, bytea) is
  'Records a batch of a service for users of its tenant, and returns the activities as JSON. With a channel, for those of its members who want to know. refusal is REPEATED when the request id was used for the same batch, REQUEST_ID_REUSED when for something else; nothing is recorded then.';

create function record_message(_message_id bigint, _actor_name text) returns text
language plpgsql security definer
set search_path = public, pg_temp
-- Planning it takes longer than running it.
set plan_cache_mode = force_generic_plan
as $$
declare
  _activities text;
begin
  with post as materialized (
    select
      p.id, p.tenant_id, p.channel_id, p.sender_id, p.content, p.mentions, p.mention_scope, p.parent_id,
      p.created_at, r.sender_id as root_sender_id, c.name
    from messages p
    join channels c on c.id = p.channel_id
    left join messages r on r.id = p.parent_id
    where p.id = _message_id
  ),
  -- Whom it concerns and why, the strongest reason for each.
  concerned as materialized (
    select distinct on (u.user_id) u.user_id, u.type, u.reason
    from (
      select unnest(p.mentions) as user_id, 'MENTION_RECEIVED' as type, 'NAMED' as reason, 1 as rank
      from post p
      union all
      select m.user_id, 'MENTION_RECEIVED', 'EVERYBODY', 2
      from post p
      join channel_members m on m.channel_id = p.channel_id and m.status in ('ACTIVE', 'MUTED')
      where p.mention_scope = 'CHANNEL'
      union all
      select
        f.user_id, 'REPLY_RECEIVED',
        case when f.user_id = p.root_sender_id then 'THREAD_STARTED' else 'THREAD_FOLLOWED' end, 3
      from post p
      join thread_followers f
        on f.tenant_id = p.tenant_id
        and f.root_id = p.parent_id
        and f.is_following
        -- Not who follows since a later reply of the same batch.
        and f.read_reply_id < p.id
    ) as u
    order by u.user_id, u.rank
  ),
  recorded as (
    insert into activity_feed as a
      (tenant_id, user_id, action_type, actor_id, channel_id, message_id, description, title, metadata,
       "timestamp", created_at)
    select
      p.tenant_id, n.user_id, n.type, p.sender_id, p.channel_id, p.id,
      activity_text(n.type, _actor_name, p.name), nullif(left(p.name, 255), ''),
      jsonb_strip_nulls(jsonb_build_object(
        'actor_name', _actor_name,
        'channel_name', p.name,
        'reason', n.reason,
        'root_message_id', p.parent_id::text
      )),
      p.created_at, p.created_at
    from post p
    cross join concerned n
    join channel_members m
      on m.channel_id = p.channel_id and m.user_id = n.user_id and m.status in ('ACTIVE', 'MUTED')
    where n.user_id != p.sender_id
      and wants_activity(m.is_muted, m.notification_level, n.type = 'MENTION_RECEIVED')
    order by n.user_id
    returning a as activity
  )
  select json_agg(activity_json(r.activity, p.content))::text
  into _activities
  from recorded r
  cross join post p;
  return _activities;
end
$$;
comment on function record_message(bigint, text) is
  'Records for users that a message which was just posted mentions them or replies in a thread of theirs; only send_messages() calls it. Returns the activities as JSON, null when there are none.';

-- What posts, from now on within a function that also tells whom it concerns. A lone message that concerns nobody
-- takes 1.31 ms without and 1.34 ms with it; in one statement with the rest it took 0.2 ms more, which is what
-- starting the larger plan costs.
alter function send_messages(json) rename to post_messages;
revoke all on function post_messages(json) from discuss_service;
comment on function post_messages(json) is
  'Posts a batch of messages of any callers and tenants; only send_messages() calls it. Each item is checked by itself: tenant, membership (isManager, a service that acts for nobody, needs none), archive, parent. refusal is null for a posted one, REPEATED when its request id is taken, else the reason. One refused item does not touch the others.';

create function send_messages(_items json)
returns table (
  item int,
  refusal text,
  message_id bigint,
  "position" bigint,
  created_at bigint,
  seq bigint,
  payload bytea,
  activities text
)
language plpgsql security definer
set search_path = public, pg_temp
-- As in post_messages(), for record_message().
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  -- Names of the senders of those that may concern somebody, by item.
  _names jsonb;
begin
  select jsonb_object_agg(i.item, coalesce(i."userName", ''))
  into _names
  from json_to_recordset(_items) as i(
    item int, "userName" text, mentions bigint[], "mentionScope" text, "parentId" bigint
  )
  where i.mentions != '{}' or i."mentionScope" = 'CHANNEL' or i."parentId" is not null;

  for item, refusal, message_id, "position", created_at, seq, payload in
    select p.item, p.refusal, p.message_id, p."position", p.created_at, p.seq, p.payload
    from post_messages(_items) as p
  loop
    activities := null;
    if refusal is null and _names ? item::text then
      activities := record_message(message_id, _names ->> item::text);
    end if;
    return next;
  end loop;
end
$$;
comment on function send_messages(json) is
  'Posts a batch of messages of any callers and tenants. Each item is checked by itself: tenant, membership (isManager, a service that acts for nobody, needs none), archive, parent. refusal is null for a posted one, REPEATED when its request id is taken (look the message up by it), else the reason. One refused item does not touch the others. activities are those recorded for the people a message concerns, as JSON; null when there are none.';

do $$
declare
  _function text;
begin
  foreach _function in array array[
    'record_mentions(bigint, bigint, bigint[], text)',
    'record_additions(bigint, bigint[], text)',
    'record_reaction(bigint, bigint, text, text, boolean)',
    'record_message(bigint, text)',
    'send_messages(json)'
  ] loop
    execute format('alter function %s owner to discuss_system', _function);
    execute format('revoke all on function %s from public', _function);
    continue when _function like 'record_message%';
    execute format('grant execute on function %s to discuss_service', _function);
  end loop;
end
$$;
