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

-- With one more column.
drop function send_messages(json);

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
-- Every join here looks single rows up by key. A plan that is kept from the day the tables were small would
-- scan them whole for as long as it is cached.
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
#variable_conflict use_column
begin
  -- Statements after this one see everything that was committed while it waited.
  perform 1
  from channels c
  where c.id in (select distinct (i ->> 'channelId')::bigint from json_array_elements(_items) as i)
  order by c.id
  for no key update;

  return query
  with request as materialized (
    select r.*
    from json_to_recordset(_items) as r(
      item int, "tenantId" bigint, "userId" bigint, "userName" text, "isManager" boolean, "channelId" bigint,
      "requestId" uuid, "payloadHash" text,
      type text, content text, mentions bigint[], "mentionScope" text,
      "parentId" bigint, "alsoInChannel" boolean, metadata jsonb,
      payload text, "seqAt" int, "messageAt" int
    )
  ),
  checked as materialized (
    select
      r.*,
      case
        when c.id is null or (m.id is null and r."isManager" is not true) then 'CHANNEL_NOT_FOUND'
        when m.status = 'MUTED' then 'MEMBER_MUTED'
        when c.is_archived then 'CHANNEL_ARCHIVED'
        when r."parentId" is not null and p.id is null then 'MESSAGE_NOT_FOUND'
        when p.is_deleted then 'MESSAGE_DELETED'
      end as refusal,
      p.sender_id as root_sender_id,
      p.thread_count as replies_before,
      p.thread_user_count as users_before
    from request r
    left join channels c on c.id = r."channelId" and c.tenant_id = r."tenantId" and c.deleted_at is null
    left join channel_members m
      on m.channel_id = c.id and m.user_id = r."userId" and m.status in ('ACTIVE', 'MUTED')
    left join messages p on p.id = r."parentId" and p.channel_id = r."channelId"
  ),
  -- Ids after the lock and in order, so that in a channel id order, seq order and commit order are one.
  numbered as materialized (
    select o.*, nextval('messages_id_seq') as id
    from (select * from checked where refusal is null order by "channelId", item) as o
  ),
  claimed as (
    insert into idempotency_keys
      (tenant_id, user_id, request_id, method, payload_hash, channel_id, resource_id, created_at)
    select distinct on ("tenantId", "userId", "requestId")
      "tenantId", "userId", "requestId", 'SendMessage', decode("payloadHash", 'base64'), "channelId", id, now_ms()
    from numbered
    where "requestId" is not null
    order by "tenantId", "userId", "requestId", id
    on conflict do nothing
    returning resource_id
  ),
  fresh as materialized (
    select n.*
    from numbered n
    where n."requestId" is null or n.id in (select resource_id from claimed)
  ),
  advanced as (
    update channels c
    set
      event_seq = c.event_seq + f.posts,
      post_seq = c.post_seq + f.posts,
      last_message_id = f.last_id
    from (select "channelId", count(*) as posts, max(id) as last_id from fresh group by 1) as f
    where c.id = f."channelId"
    returning
      c.id,
      c.event_seq - f.posts as seq_before,
      c.post_seq - f.posts as position_before,
      greatest(c.last_message_at, now_ms()) as now
  ),
  placed as materialized (
    select
      f.*,
      a.seq_before + row_number() over channel as seq,
      a.position_before + row_number() over channel as place,
      a.now
    from fresh f
    join advanced a on a.id = f."channelId"
    window channel as (partition by f."channelId" order by f.id)
  ),
  replies as materialized (
    select
      p.*,
      p."userId" > 0
        and row_number() over (partition by p."parentId", p."userId" order by p.id) = 1
        and not exists (
          select 1
          from thread_followers f
          where f.tenant_id = p."tenantId"
            and f.root_id = p."parentId"
            and f.user_id = p."userId"
            and f.replies > 0
        ) as is_new_user
    from placed p
    where p."parentId" is not null
  ),
  threads as materialized (
    select
      r.id,
      r.replies_before + row_number() over thread as replies,
      r.users_before + sum(r.is_new_user::int) over thread as users
    from replies r
    window thread as (partition by r."parentId" order by r.id)
  ),
  stamped as materialized (
    select
      p.*,
      case when t.id is null then s.event else stamp_thread(s.event, t.replies, t.users) end as event
    from placed p
    left join threads t on t.id = p.id
    cross join lateral (
      select stamp_event(
        stamp_message(decode(p.payload, 'base64'), p."messageAt", p.id, p.place, p.now), p."seqAt", p.seq, p.now
      ) as event
    ) as s
  ),
  inserted as (
    insert into messages
      (id, channel_id, sender_id, tenant_id, content, message_type, mentions, mention_scope, parent_id,
       also_in_channel, metadata, post_seq, event_seq, posted_seq, created_at, updated_at)
    select
      id, "channelId", "userId", "tenantId", content, type, mentions, "mentionScope", "parentId",
      coalesce("alsoInChannel", false), metadata, place, seq, seq, now, now
    from placed
    order by id
  ),
  logged as (
    insert into channel_events
      (channel_id, seq, tenant_id, kind, message_id, actor_id, created_at, payload)
    select "channelId", seq, "tenantId", 'MESSAGE_CREATED', id, "userId", now, event
    from stamped
    order by "channelId", seq
  ),
  counted as (
    update channel_members m
    set own_posts = m.own_posts + s.posts
    from (select "channelId", "userId", count(*) as posts from placed group by 1, 2) as s
    where m.channel_id = s."channelId" and m.user_id = s."userId"
  ),
  replied as (
    update messages p
    set
      thread_count = p.thread_count + r.replies,
      thread_user_count = p.thread_user_count + coalesce(cardinality(r.new_users), 0),
      thread_users = (p.thread_users || coalesce(r.new_users, '{}'))[:5],
      last_reply_at = r.last_at,
      event_seq = r.last_seq
    from (
      select
        "parentId",
        count(*) as replies,
        array_agg("userId" order by id) filter (where is_new_user) as new_users,
        max(now) as last_at,
        max(seq) as last_seq
      from replies
      group by 1
    ) as r
    where p.id = r."parentId"
  ),
  -- Following: the author of the first message has all replies before them, who replies those after their
  -- own, who is mentioned the one that mentions them. Who once said no is not made to follow again.
  followed as (
    insert into thread_followers as f
      (tenant_id, root_id, user_id, channel_id, read_reply_id, replies, first_reply_id)
    select u.tenant_id, u.root_id, u.user_id, u.channel_id, min(u.read_id), sum(u.replies), min(u.first_reply_id)
    from (
      select
        "tenantId" as tenant_id, "parentId" as root_id, "userId" as user_id, "channelId" as channel_id,
        id as read_id, 1 as replies, id as first_reply_id
      from replies
      union all
      select "tenantId", "parentId", root_sender_id, "channelId", 0, 0, null
      from replies
      union all
      select "tenantId", "parentId", unnest(mentions), "channelId", id - 1, 0, null
      from replies
    ) as u
    join channel_members m
      on m.channel_id = u.channel_id and m.user_id = u.user_id and m.status in ('ACTIVE', 'MUTED')
    group by u.tenant_id, u.root_id, u.user_id, u.channel_id
    order by u.tenant_id, u.root_id, u.user_id
    on conflict (tenant_id, root_id, user_id) do update
    set
      replies = f.replies + excluded.replies,
      first_reply_id = coalesce(f.first_reply_id, excluded.first_reply_id)
    where excluded.replies > 0
  ),
  -- Whom a message concerns and why, the strongest reason for each. What this batch makes people follow is not
  -- in thread_followers yet.
  concerned as materialized (
    select distinct on (u.id, u.user_id) u.id, u.user_id, u.type, u.reason
    from (
      select p.id, unnest(p.mentions) as user_id, 'MENTION_RECEIVED' as type, 'NAMED' as reason, 1 as rank
      from placed p
      where p.mentions != '{}'
      union all
      select p.id, m.user_id, 'MENTION_RECEIVED', 'EVERYBODY', 2
      from placed p
      join channel_members m on m.channel_id = p."channelId" and m.status in ('ACTIVE', 'MUTED')
      where p."mentionScope" = 'CHANNEL'
      union all
      select r.id, r.root_sender_id, 'REPLY_RECEIVED', 'THREAD_STARTED', 3
      from replies r
      union all
      select r.id, f.user_id, 'REPLY_RECEIVED', 'THREAD_FOLLOWED', 4
      from replies r
      join thread_followers f on f.tenant_id = r."tenantId" and f.root_id = r."parentId" and f.is_following
      union all
      select r.id, unnest(e."userId" || e.mentions), 'REPLY_RECEIVED', 'THREAD_FOLLOWED', 4
      from replies r
      join replies e on e."parentId" = r."parentId" and e.id < r.id
    ) as u
    order by u.id, u.user_id, u.rank
  ),
  recorded as (
    insert into activity_feed as a
      (tenant_id, user_id, action_type, actor_id, channel_id, message_id, description, title, metadata,
       "timestamp", created_at)
    select
      p."tenantId", n.user_id, n.type, p."userId", c.id, p.id,
      activity_text(n.type, coalesce(p."userName", ''), c.name), nullif(left(c.name, 255), ''),
      jsonb_strip_nulls(jsonb_build_object(
        'actor_name', coalesce(p."userName", ''),
        'channel_name', c.name,
        'reason', n.reason,
        'root_message_id', p."parentId"::text
      )),
      p.now, p.now
    from concerned n
    join placed p on p.id = n.id
    join channels c on c.id = p."channelId"
    join channel_members m
      on m.channel_id = c.id and m.user_id = n.user_id and m.status in ('ACTIVE', 'MUTED')
    where n.user_id != p."userId"
      and wants_activity(m.is_muted, m.notification_level, n.type = 'MENTION_RECEIVED')
      and (
        n.type = 'MENTION_RECEIVED'
        or not exists (
          select 1
          from thread_followers f
          where f.tenant_id = p."tenantId"
            and f.root_id = p."parentId"
            and f.user_id = n.user_id
            and not f.is_following
        )
      )
    order by n.id, n.user_id
    returning a.message_id, a as activity
  ),
  told as materialized (
    select p.id, json_agg(activity_json(r.activity, p.content))::text as activities
    from recorded r
    join placed p on p.id = r.message_id
    group by p.id
  )
  select
    c.item,
    case when s.id is null then coalesce(c.refusal, 'REPEATED') end,
    s.id,
    s.place,
    s.now,
    s.seq,
    s.event,
    o.activities
  from checked c
  left join stamped s on s.item = c.item
  left join told o on o.id = s.id;
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
    'send_messages(json)'
  ] loop
    execute format('alter function %s owner to discuss_system', _function);
    execute format('revoke all on function %s from public', _function);
    execute format('grant execute on function %s to discuss_service', _function);
  end loop;
end
$$;
