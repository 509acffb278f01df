-- Changes of messages, in the lock order of 012: the channel's row first, then everything about its messages.

create function stamp_thread(_payload bytea, _replies bigint, _users bigint) returns bytea
language sql immutable strict parallel safe
return overlay(
  _payload placing pb_varint5(_replies) || '\x20'::bytea || pb_varint5(_users) from length(_payload) - 10
);
comment on function stamp_thread(bytea, bigint, bigint) is
  'Writes thread_reply_count (field 3) and thread_participant_count (4) over the placeholders at the end of an encoded Event of a posted reply.';

-- With one more argument.
drop function append_event(bigint, text, bigint, bytea, int);

create function append_event(
  _channel_id bigint,
  _kind text,
  _actor_id bigint,
  _payload bytea,
  _seq_at int,
  _message_id bigint default null
)
returns table (channel_id bigint, seq bigint, payload bytea)
language plpgsql security definer
set search_path = public, pg_temp
as $$
declare
  _seq bigint;
  _now bigint := now_ms();
  _stamped bytea;
begin
  update channels c
  set event_seq = c.event_seq + 1
  where c.id = _channel_id and c.tenant_id = app_tenant_id()
  returning c.event_seq into _seq;
  if not found then
    raise exception 'append_event: channel % is not of the tenant', _channel_id using errcode = 'insufficient_privilege';
  end if;
  _stamped := stamp_event(_payload, _seq_at, _seq, _now);
  insert into channel_events (channel_id, seq, tenant_id, kind, message_id, actor_id, created_at, payload)
  values (_channel_id, _seq, app_tenant_id(), _kind, _message_id, _actor_id, _now, _stamped);
  return query select _channel_id, _seq, _stamped;
end
$$;
comment on function append_event(bigint, text, bigint, bytea, int, bigint) is
  'Appends an event, perhaps about a message, to the log of a channel of the caller''s tenant and returns it as logged. Keeps the channel''s row locked until commit.';

create function with_reaction(_reactions jsonb, _emoji text, _user_id bigint, _added boolean) returns jsonb
language sql immutable parallel safe
return case
  when not _added then (
    select coalesce(jsonb_agg(r.reaction order by r.nth), '[]')
    from (
      select
        t.nth,
        case
          when t.reaction ->> 'emoji' = _emoji then jsonb_build_object(
            'emoji', _emoji,
            'users', (
              select coalesce(jsonb_agg(u.id order by u.place), '[]')
              from jsonb_array_elements(t.reaction -> 'users') with ordinality as u(id, place)
              where u.id != to_jsonb(_user_id)
            )
          )
          else t.reaction
        end as reaction
      from jsonb_array_elements(_reactions) with ordinality as t(reaction, nth)
    ) as r
    where r.reaction -> 'users' != '[]'
  )
  when not _reactions @> jsonb_build_array(jsonb_build_object('emoji', _emoji))
    then _reactions || jsonb_build_array(jsonb_build_object('emoji', _emoji, 'users', jsonb_build_array(_user_id)))
  else (
    select jsonb_agg(
      case
        when t.reaction ->> 'emoji' = _emoji and not t.reaction -> 'users' @> to_jsonb(_user_id)
          then jsonb_build_object('emoji', _emoji, 'users', (t.reaction -> 'users') || to_jsonb(_user_id))
        else t.reaction
      end
      order by t.nth
    )
    from jsonb_array_elements(_reactions) with ordinality as t(reaction, nth)
  )
end;
comment on function with_reaction(jsonb, text, bigint, boolean) is
  'Reactions [{"emoji": "...", "users": [1, 2]}] with one user''s added or taken away; the same when there is nothing to change. Emoji and users stay in the order in which they came.';

create function change_reaction(
  _channel_id bigint,
  _message_id bigint,
  _emoji text,
  _added boolean,
  _max_emoji int,
  _max_users int,
  _payload bytea,
  _seq_at int
)
returns table (refusal text, reactions text, seq bigint, payload bytea)
language plpgsql
set search_path = public, pg_temp
as $$
#variable_conflict use_column
declare
  _user_id bigint := app_user_id();
  _found record;
  _changed jsonb;
  _seq bigint;
  _logged bytea;
begin
  perform 1
  from channels c
  where c.id = _channel_id and c.tenant_id = app_tenant_id() and c.deleted_at is null
  for no key update;

  -- Not one statement with the lock: what it would see is older than what the lock waited for.
  select c.is_archived, cm.status, m.id, m.is_deleted, m.reactions, c.event_seq
  into _found
  from channels c
  join channel_members cm
    on cm.channel_id = c.id and cm.user_id = _user_id and cm.status in ('ACTIVE', 'MUTED')
  left join messages m on m.id = _message_id and m.channel_id = c.id and m.tenant_id = c.tenant_id
  where c.id = _channel_id and c.tenant_id = app_tenant_id() and c.deleted_at is null;

  if not found or _found.id is null then
    return query select 'MESSAGE_NOT_FOUND', null::text, null::bigint, null::bytea;
    return;
  end if;
  _changed := with_reaction(_found.reactions, _emoji, _user_id, _added);
  refusal := case
    when _found.is_deleted then 'MESSAGE_DELETED'
    when _found.is_archived then 'CHANNEL_ARCHIVED'
    when _found.status = 'MUTED' then 'MEMBER_MUTED'
    when _changed = _found.reactions then null
    when _added and (
      jsonb_array_length(_changed) > _max_emoji
      or exists (
        select 1
        from jsonb_array_elements(_changed) as r
        where r ->> 'emoji' = _emoji and jsonb_array_length(r -> 'users') > _max_users
      )
    ) then 'REACTION_LIMIT'
  end;
  if refusal is not null or _changed = _found.reactions then
    return query select refusal, _found.reactions::text, null::bigint, null::bytea;
    return;
  end if;

  update messages m
  set reactions = _changed,
      event_seq = _found.event_seq + 1,
      updated_at = now_ms()
  where m.id = _message_id and m.tenant_id = app_tenant_id();

  select e.seq, e.payload
  into _seq, _logged
  from append_event(_channel_id, 'REACTION_CHANGED', _user_id, _payload, _seq_at, _message_id) as e;
  return query select null::text, _changed::text, _seq, _logged;
end
$$;
comment on function change_reaction(bigint, bigint, text, boolean, int, int, bytea, int) is
  'Adds or takes away the caller''s reaction in one round trip, under the lock of the channel, and logs the event. refusal is null when it is as asked now; seq is null when it was so before.';

create function delete_message(
  _channel_id bigint,
  _message_id bigint,
  _actor_id bigint,
  _now bigint,
  _created bytea,
  _created_seq_at int,
  _later bytea,
  _later_seq_at int
)
returns table (
  root_id bigint,
  thread_count int,
  thread_user_count int,
  thread_users bigint[],
  last_reply_at bigint
)
language plpgsql security definer
set search_path = public, pg_temp
as $$
#variable_conflict use_column
declare
  _tenant_id bigint := app_tenant_id();
  _next_seq bigint;
  _message record;
  _replies int;
begin
  select c.event_seq + 1
  into _next_seq
  from channels c
  where c.id = _channel_id and c.tenant_id = _tenant_id
  for no key update;

  update messages m
  set is_deleted = true,
      deleted_at = _now,
      deleted_by = _actor_id,
      reactions = '[]',
      pinned_at = null,
      pinned_by = null,
      pin_seq = null,
      event_seq = _next_seq,
      updated_at = _now
  where m.id = _message_id
    and m.channel_id = _channel_id
    and m.tenant_id = _tenant_id
    and not m.is_deleted
  returning m.parent_id, m.sender_id, m.posted_seq into _message;
  if not found then
    return;
  end if;

  delete from message_edits e where e.tenant_id = _tenant_id and e.message_id = _message_id;
  delete from poll_votes v where v.tenant_id = _tenant_id and v.message_id = _message_id;

  -- What the log holds of it must not be told to those who come later.
  update channel_events e
  set payload = stamp_event(_created, _created_seq_at, e.seq, e.created_at)
  where e.channel_id = _channel_id and e.seq = _message.posted_seq and e.kind = 'MESSAGE_CREATED';
  update channel_events e
  set payload = stamp_event(_later, _later_seq_at, e.seq, e.created_at)
  where e.tenant_id = _tenant_id and e.message_id = _message_id and e.kind != 'MESSAGE_CREATED';

  if _message.parent_id is null then
    return;
  end if;
  update thread_followers f
  set replies = f.replies - 1,
      first_reply_id = case when f.replies > 1 then f.first_reply_id end
  where f.tenant_id = _tenant_id and f.root_id = _message.parent_id and f.user_id = _message.sender_id
  returning f.replies into _replies;

  return query
  update messages m
  set thread_count = greatest(0, m.thread_count - 1),
      thread_user_count = m.thread_user_count - case when _replies = 0 then 1 else 0 end,
      thread_users = case
        when _replies = 0 then array(
          select f.user_id
          from thread_followers f
          where f.tenant_id = _tenant_id and f.root_id = m.id and f.replies > 0
          order by f.first_reply_id
          limit 5
        )
        else m.thread_users
      end,
      last_reply_at = (
        select r.created_at
        from messages r
        where r.parent_id = m.id and not r.is_deleted
        order by r.id desc
        limit 1
      ),
      event_seq = _next_seq
  where m.id = _message.parent_id and m.tenant_id = _tenant_id
  returning m.id, m.thread_count, m.thread_user_count, m.thread_users, m.last_reply_at;
end
$$;
comment on function delete_message(bigint, bigint, bigint, bigint, bytea, int, bytea, int) is
  'Deletes a message of the caller''s tenant softly: its edits, votes, reactions and pin go, its events in the log are replaced by _created (the first one) and _later, and its thread is counted anew. Returns the thread as it is now when the message was a reply. The event of the deletion is the caller''s to append, next, as are the checks of who may.';

create or replace function send_messages(_items json)
returns table (
  item int,
  refusal text,
  message_id bigint,
  "position" bigint,
  created_at bigint,
  seq bigint,
  payload bytea
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
      item int, "tenantId" bigint, "userId" bigint, "isManager" boolean, "channelId" bigint,
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
  )
  select
    c.item,
    case when s.id is null then coalesce(c.refusal, 'REPEATED') end,
    s.id,
    s.place,
    s.now,
    s.seq,
    s.event
  from checked c
  left join stamped s on s.item = c.item;
end
$$;
comment on function send_messages(json) is
  'Posts a batch of messages of any callers and tenants. Each item is checked by itself: tenant, membership (isManager, a service that acts for nobody, needs none), archive, parent. refusal is null for a posted one, REPEATED when its request id is taken (look the message up by it), else the reason. One refused item does not touch the others.';

create function thread_unread(_root_id bigint, _user_id bigint, _read_reply_id bigint, _since bigint) returns int
language sql stable parallel safe
begin atomic
  select count(*)::int
  from messages r
  where r.parent_id = _root_id
    and r.id > _read_reply_id
    and r.sender_id != _user_id
    and r.created_at >= _since
    and not r.is_deleted;
end;
comment on function thread_unread(bigint, bigint, bigint, bigint) is
  'The exact unread number of a thread: replies after the marker, without own and deleted ones, and without those from before _since, when the user (re)joined the channel.';

do $$
declare
  _function text;
begin
  foreach _function in array array[
    'append_event(bigint, text, bigint, bytea, int, bigint)',
    'delete_message(bigint, bigint, bigint, bigint, bytea, int, bytea, int)'
  ] loop
    execute format('alter function %s owner to discuss_system', _function);
    execute format('revoke all on function %s from public', _function);
    execute format('grant execute on function %s to discuss_service', _function);
  end loop;
end
$$;
