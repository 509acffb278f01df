-- What operators do: compare every stored number with what it was derived from. And reactions that are taken back
-- from an activity.

-- Each *_truth() function compares in one statement, so of one snapshot: what changes at that moment is not taken for
-- wrong, as a number and its cause always commit together. Channels with anything wrong are then locked, compared once
-- more, and mended. Without nested loops, which the planner takes for small where nobody has analysed the tables yet:
-- 30,000 messages took minutes so, and 0.3 s otherwise.

create function channel_truth(_ids bigint[])
returns table (
  channel_id bigint,
  member_count int, members int,
  message_count int, messages int,
  last_message_at bigint, last_at bigint,
  last_message_id bigint, last_id bigint,
  post_seq bigint, last_post bigint,
  event_seq bigint, last_event bigint
)
language sql stable
set search_path = public, pg_temp
set enable_nestloop = off
begin atomic
  with posted as materialized (
    select m.channel_id, m.id, m.post_seq, m.created_at, m.notice is null as counts
    from messages m
    where m.channel_id = any(_ids)
  ),
  newest as (
    select
      p.channel_id,
      count(*) filter (where p.counts)::int as messages,
      max(p.created_at) filter (where p.counts) as last_at,
      max(p.post_seq) filter (where p.counts) as last_counting,
      max(p.id) as last_id,
      max(p.post_seq) as last_post
    from posted p
    group by p.channel_id
  ),
  noted as (
    select
      d.channel_id,
      max(d.post_seq) as last_noted,
      max(d.post_seq) filter (where p.id is null) as last_removed
    from deleted_posts d
    left join posted p on p.channel_id = d.channel_id and p.post_seq = d.post_seq
    where d.channel_id = any(_ids)
    group by d.channel_id
  )
  select
    c.id,
    c.member_count,
    (select count(*)::int from channel_members m where m.channel_id = c.id and m.status = 'ACTIVE'),
    c.message_count,
    coalesce(n.messages, 0),
    c.last_message_at,
    -- Messages that were removed for good since left their time and id here alone.
    case when d.last_removed > coalesce(n.last_counting, 0) then greatest(c.last_message_at, n.last_at) else n.last_at end,
    c.last_message_id,
    case when d.last_removed > coalesce(n.last_post, 0) then greatest(c.last_message_id, n.last_id) else n.last_id end,
    c.post_seq,
    greatest(n.last_post, d.last_noted, 0),
    c.event_seq,
    -- The log is cut off at its beginning; lowered, subscribers would be ahead of it.
    greatest(c.event_seq, (select max(e.seq) from channel_events e where e.channel_id = c.id))
  from channels c
  left join newest n on n.channel_id = c.id
  left join noted d on d.channel_id = c.id
  where c.id = any(_ids);
end;
comment on function channel_truth(bigint[]) is
  'Numbers of channels as stored, each followed by what it should be, counted by hand.';

create function deleted_post_truth(_ids bigint[])
returns table (channel_id bigint, post_seq bigint, tenant_id bigint, sender_id bigint, is_noted boolean, is_due boolean)
language sql stable
set search_path = public, pg_temp
set enable_nestloop = off
begin atomic
  select c.id, n.post_seq, c.tenant_id, coalesce(m.sender_id, 0), d.post_seq is not null, m.id is null or not m.counts
  from channels c
  -- As many as there are, whatever the channel says.
  cross join lateral generate_series(
    1,
    greatest(
      (select x.post_seq from messages x where x.channel_id = c.id order by x.id desc limit 1),
      (select max(x.post_seq) from deleted_posts x where x.channel_id = c.id)
    )
  ) as n(post_seq)
  left join (
    select x.channel_id, x.post_seq, x.id, x.sender_id, not x.is_deleted and x.notice is null as counts
    from messages x
    where x.channel_id = any(_ids)
  ) as m on m.channel_id = c.id and m.post_seq = n.post_seq
  left join deleted_posts d on d.channel_id = c.id and d.post_seq = n.post_seq
  where c.id = any(_ids);
end;
comment on function deleted_post_truth(bigint[]) is
  'Every number of a message, whether it is noted as counting for nobody, and whether it should be.';

create function member_truth(_ids bigint[])
returns table (
  channel_id bigint,
  id bigint,
  read_post_seq bigint, marker bigint,
  own_posts bigint, own bigint,
  own_posts_read bigint, own_read bigint,
  unread_count int, unread int
)
language sql stable
set search_path = public, pg_temp
begin atomic
  with posted as materialized (
    select x.channel_id, array_agg(x.id order by x.id) as ids, array_agg(x.post_seq order by x.id) as posts
    from messages x
    where x.channel_id = any(_ids)
    group by x.channel_id
  ),
  own as materialized (
    select o.channel_id, o.sender_id, array_agg(o.post_seq order by o.post_seq) as posts
    from (
      select x.channel_id, x.sender_id, x.post_seq
      from messages x
      where x.channel_id = any(_ids) and not x.is_deleted and x.notice is null
      union all
      select d.channel_id, d.sender_id, d.post_seq
      from deleted_posts d
      where d.channel_id = any(_ids)
    ) as o
    group by o.channel_id, o.sender_id
  )
  select
    t.channel_id, t.id, t.read_post_seq, t.marker, t.own_posts, t.own, t.own_posts_read, t.own_read, t.unread_count,
    -- What was not settled yet is not wrong.
    case
      -- A channel's wrong number may be any.
      when t.is_settled then derived_unread(
        t.channel_id, t.user_id, least(t.post_seq, t.marker + 2147483647), t.marker, t.own, t.own_read
      )
      else t.unread_count
    end
  from (
    select
      m.channel_id, m.id, m.user_id, m.read_post_seq, k.marker, m.own_posts, m.own_posts_read, m.unread_count, c.post_seq,
      coalesce(cardinality(o.posts), 0)::bigint as own,
      coalesce(width_bucket(k.marker, o.posts), 0)::bigint as own_read,
      m.status in ('ACTIVE', 'MUTED') and c.unread_version = c.settled_version as is_settled
    from channel_members m
    join channels c on c.id = m.channel_id
    left join own o on o.channel_id = m.channel_id and o.sender_id = m.user_id
    left join posted p on p.channel_id = m.channel_id
    -- The marker as a number lies between the message it stands on, or the last before that which is still there,
    -- and the next one.
    cross join lateral (select coalesce(width_bucket(m.last_read_msg_id, p.ids), 0) as place) as l
    cross join lateral (
      select least(
        greatest(m.read_post_seq, p.posts[l.place]),
        coalesce(p.posts[l.place + 1] - 1, c.post_seq)
      ) as marker
    ) as k
    where m.channel_id = any(_ids)
  ) as t;
end;
comment on function member_truth(bigint[]) is
  'Numbers of memberships as stored, each followed by what it should be, counted by hand.';

create function follower_truth(_ids bigint[])
returns table (
  channel_id bigint,
  tenant_id bigint,
  root_id bigint,
  user_id bigint,
  replies int, counted int,
  first_reply_id bigint, first_id bigint
)
language sql stable
set search_path = public, pg_temp
set enable_nestloop = off
begin atomic
  select
    f.channel_id, f.tenant_id, f.root_id, f.user_id,
    f.replies, coalesce(r.replies, 0),
    f.first_reply_id,
    -- It stays when that reply is deleted and others are left.
    case when r.replies > 0 then least(f.first_reply_id, r.first_id) end
  from thread_followers f
  left join (
    select x.parent_id, x.sender_id, count(*)::int as replies, min(x.id) as first_id
    from messages x
    where x.channel_id = any(_ids) and x.parent_id is not null and not x.is_deleted
    group by x.parent_id, x.sender_id
  ) as r on r.parent_id = f.root_id and r.sender_id = f.user_id
  where f.channel_id = any(_ids);
end;
comment on function follower_truth(bigint[]) is
  'Replies of those who follow threads as stored, each followed by what it should be, counted by hand.';

create function thread_truth(_ids bigint[])
returns table (
  channel_id bigint,
  id bigint,
  thread_count int, replies int,
  thread_user_count int, users int,
  thread_users bigint[], first_users bigint[],
  last_reply_at bigint, last_at bigint
)
language sql stable
set search_path = public, pg_temp
set enable_nestloop = off
begin atomic
  with authors as materialized (
    select
      x.parent_id, x.sender_id, count(*) as replies, max(x.id) as last_id,
      coalesce(min(f.first_reply_id), min(x.id)) as first_id
    from messages x
    left join thread_followers f
      on f.tenant_id = x.tenant_id and f.root_id = x.parent_id and f.user_id = x.sender_id
    where x.channel_id = any(_ids) and x.parent_id is not null and not x.is_deleted
    group by x.parent_id, x.sender_id
  ),
  threads as materialized (
    select
      a.parent_id,
      sum(a.replies)::int as replies,
      count(*) filter (where a.sender_id > 0)::int as users,
      (array_agg(a.sender_id order by a.first_id) filter (where a.sender_id > 0))[:5] as first_users,
      max(a.last_id) as last_id
    from authors a
    group by a.parent_id
  )
  select
    m.channel_id, m.id,
    m.thread_count, coalesce(t.replies, 0),
    m.thread_user_count, coalesce(t.users, 0),
    m.thread_users, coalesce(t.first_users, '{}'),
    m.last_reply_at, (select x.created_at from messages x where x.id = t.last_id)
  from messages m
  left join threads t on t.parent_id = m.id
  where m.channel_id = any(_ids);
end;
comment on function thread_truth(bigint[]) is
  'What messages show of their threads as stored, nothing where there is none, each followed by what it should be, counted by hand.';

create function mend_channels(_ids bigint[]) returns table (kind text, mended bigint)
language sql volatile
set search_path = public, pg_temp
begin atomic
  with truth as materialized (select * from channel_truth(_ids)),
  updated as (
    update channels c
    set member_count = t.members,
        message_count = t.messages,
        last_message_at = t.last_at,
        last_message_id = t.last_id,
        post_seq = t.last_post,
        event_seq = t.last_event,
        -- Stored unread numbers were settled by the wrong one.
        unread_version = c.unread_version + case when c.post_seq = t.last_post then 0 else 1 end
    from truth t
    where c.id = t.channel_id
      and (t.member_count, t.message_count, t.last_message_at, t.last_message_id, t.post_seq, t.event_seq)
        is distinct from (t.members, t.messages, t.last_at, t.last_id, t.last_post, t.last_event)
  )
  select v.kind, count(*) filter (where v.is_wrong)
  from truth t
  cross join lateral (
    values
      ('channels.member_count', t.member_count != t.members),
      ('channels.message_count', t.message_count != t.messages),
      ('channels.last_message_at', t.last_message_at is distinct from t.last_at),
      ('channels.last_message_id', t.last_message_id is distinct from t.last_id),
      ('channels.post_seq', t.post_seq != t.last_post),
      ('channels.event_seq', t.event_seq != t.last_event)
  ) as v(kind, is_wrong)
  group by v.kind;
end;
comment on function mend_channels(bigint[]) is 'Mends the numbers of locked channels, and how many of each kind.';

create function mend_deleted_posts(_ids bigint[]) returns table (kind text, mended bigint)
language sql volatile
set search_path = public, pg_temp
begin atomic
  with truth as materialized (
    select *
    from deleted_post_truth(_ids) t
    where t.is_noted != t.is_due
  ),
  added as (
    insert into deleted_posts (channel_id, post_seq, tenant_id, sender_id)
    select t.channel_id, t.post_seq, t.tenant_id, t.sender_id
    from truth t
    where t.is_due
    on conflict do nothing
  ),
  removed as (
    delete from deleted_posts d
    using truth t
    where not t.is_due and d.channel_id = t.channel_id and d.post_seq = t.post_seq
  ),
  unsettled as (
    update channels c
    set unread_version = c.unread_version + 1
    where c.id in (select t.channel_id from truth t)
  )
  select 'deleted_posts', count(*)
  from truth t;
end;
comment on function mend_deleted_posts(bigint[]) is 'Mends which numbers of locked channels count for nobody, and how many.';

create function mend_members(_ids bigint[]) returns table (kind text, mended bigint)
language sql volatile
set search_path = public, pg_temp
begin atomic
  with truth as materialized (select * from member_truth(_ids)),
  -- Its trigger settles unread_count.
  updated as (
    update channel_members m
    set read_post_seq = t.marker,
        own_posts = t.own,
        own_posts_read = t.own_read
    from truth t
    where m.id = t.id
      and (t.read_post_seq, t.own_posts, t.own_posts_read, t.unread_count) != (t.marker, t.own, t.own_read, t.unread)
    returning m.channel_id
  ),
  -- What is kept of unread numbers elsewhere is void.
  told as (
    update channels c
    set unread_version = c.unread_version + 1
    where c.id in (select u.channel_id from updated u)
  )
  select v.kind, count(*) filter (where v.is_wrong)
  from truth t
  cross join lateral (
    values
      ('channel_members.read_post_seq', t.read_post_seq != t.marker),
      ('channel_members.own_posts', t.own_posts != t.own),
      ('channel_members.own_posts_read', t.own_posts_read != t.own_read),
      ('channel_members.unread_count', t.unread_count != t.unread)
  ) as v(kind, is_wrong)
  group by v.kind;
end;
comment on function mend_members(bigint[]) is 'Mends the numbers of locked memberships, and how many of each kind.';

create function mend_followers(_ids bigint[]) returns table (kind text, mended bigint)
language sql volatile
set search_path = public, pg_temp
begin atomic
  with truth as materialized (select * from follower_truth(_ids)),
  updated as (
    update thread_followers f
    set replies = t.counted,
        first_reply_id = t.first_id
    from truth t
    where f.tenant_id = t.tenant_id and f.root_id = t.root_id and f.user_id = t.user_id
      and (t.replies, t.first_reply_id) is distinct from (t.counted, t.first_id)
  )
  select v.kind, count(*) filter (where v.is_wrong)
  from truth t
  cross join lateral (
    values
      ('thread_followers.replies', t.replies != t.counted),
      ('thread_followers.first_reply_id', t.first_reply_id is distinct from t.first_id)
  ) as v(kind, is_wrong)
  group by v.kind;
end;
comment on function mend_followers(bigint[]) is
  'Mends the replies of those who follow threads of locked channels, and how many of each kind.';

create function mend_threads(_ids bigint[]) returns table (kind text, mended bigint)
language sql volatile
set search_path = public, pg_temp
begin atomic
  with truth as materialized (select * from thread_truth(_ids)),
  updated as (
    update messages m
    set thread_count = t.replies,
        thread_user_count = t.users,
        thread_users = t.first_users,
        last_reply_at = t.last_at
    from truth t
    where m.id = t.id
      and (t.thread_count, t.thread_user_count, t.thread_users, t.last_reply_at)
        is distinct from (t.replies, t.users, t.first_users, t.last_at)
  )
  select v.kind, count(*) filter (where v.is_wrong)
  from truth t
  cross join lateral (
    values
      ('messages.thread_count', t.thread_count != t.replies),
      ('messages.thread_user_count', t.thread_user_count != t.users),
      ('messages.thread_users', t.thread_users != t.first_users),
      ('messages.last_reply_at', t.last_reply_at is distinct from t.last_at)
  ) as v(kind, is_wrong)
  group by v.kind;
end;
comment on function mend_threads(bigint[]) is
  'Mends what messages of locked channels show of their threads, and how many of each kind.';

create function wrong_channels(_ids bigint[]) returns table (part text, checked bigint, wrong bigint[])
language sql stable
set search_path = public, pg_temp
begin atomic
  select
    'channels', count(*),
    array_agg(t.channel_id) filter (
      where (t.member_count, t.message_count, t.last_message_at, t.last_message_id, t.post_seq, t.event_seq)
        is distinct from (t.members, t.messages, t.last_at, t.last_id, t.last_post, t.last_event)
    )
  from channel_truth(_ids) t
  union all
  select 'deleted_posts', count(*), array_agg(distinct t.channel_id) filter (where t.is_noted != t.is_due)
  from deleted_post_truth(_ids) t
  union all
  select
    'channel_members', count(*),
    array_agg(distinct t.channel_id) filter (
      where (t.read_post_seq, t.own_posts, t.own_posts_read, t.unread_count) != (t.marker, t.own, t.own_read, t.unread)
    )
  from member_truth(_ids) t
  union all
  select
    'thread_followers', count(*),
    array_agg(distinct t.channel_id) filter (
      where (t.replies, t.first_reply_id) is distinct from (t.counted, t.first_id)
    )
  from follower_truth(_ids) t
  union all
  select
    'messages', count(*),
    array_agg(distinct t.channel_id) filter (
      where (t.thread_count, t.thread_user_count, t.thread_users, t.last_reply_at)
        is distinct from (t.replies, t.users, t.first_users, t.last_at)
    )
  from thread_truth(_ids) t;
end;
comment on function wrong_channels(bigint[]) is
  'For each table how many rows were compared with a count by hand, and the channels in which any is wrong.';

create function page_of_channels(_tenant_id bigint, _after bigint, _limit int, _budget bigint) returns bigint[]
language sql stable
set search_path = public, pg_temp
begin atomic
  select array_agg(p.id order by p.id) filter (where p.place = 1 or p.work <= _budget)
  from (
    select
      c.id,
      row_number() over (order by c.id) as place,
      sum(c.post_seq + c.member_count) over (order by c.id) as work
    from channels c
    where (_tenant_id = 0 or c.tenant_id = _tenant_id)
      and c.id > _after
      and c.deleted_at is null
    order by c.id
    limit _limit
  ) as p;
end;
comment on function page_of_channels(bigint, bigint, int, bigint) is
  'The next channels of a tenant, or (0) of all, with at most so many messages and members together, and one at least; null when there are none.';

create function reconcile_counters(_tenant_id bigint, _after bigint, _limit int)
returns table (kind text, checked bigint, mended bigint, next_after bigint)
language plpgsql security definer
set search_path = public, pg_temp
as $$
#variable_conflict use_column
declare
  _ids bigint[] := page_of_channels(_tenant_id, _after, _limit, 50000);
  _next bigint := _ids[cardinality(_ids)];
  _wrong bigint[];
  _checked jsonb;
  _mended jsonb;
begin
  if current_setting('app.role', true) is distinct from 'operator' then
    raise exception 'reconcile_counters: for operators' using errcode = 'insufficient_privilege';
  end if;
  if page_of_channels(_tenant_id, _next, 1, 0) is null then
    _next := null;
  end if;

  with found as materialized (select * from wrong_channels(_ids))
  select
    (select jsonb_object_agg(f.part, f.checked) from found f),
    (select array_agg(distinct w.id) from found f cross join lateral unnest(f.wrong) as w(id))
  into _checked, _wrong;

  -- All at once and in the order of all who lock several; then the members, whose markers move without that lock.
  perform 1
  from channels c
  where c.id = any(_wrong)
  order by c.id
  for no key update;
  perform 1
  from channel_members m
  where m.channel_id = any(_wrong)
  order by m.id
  for no key update;

  if _wrong is not null then
    -- One after the other, as the later ones are derived from the earlier ones.
    select jsonb_object_agg(m.kind, m.mended) into _mended from mend_channels(_wrong) m;
    select _mended || jsonb_object_agg(m.kind, m.mended) into _mended from mend_deleted_posts(_wrong) m;
    select _mended || coalesce(jsonb_object_agg(m.kind, m.mended), '{}') into _mended from mend_members(_wrong) m;
    select _mended || coalesce(jsonb_object_agg(m.kind, m.mended), '{}') into _mended from mend_followers(_wrong) m;
    select _mended || coalesce(jsonb_object_agg(m.kind, m.mended), '{}') into _mended from mend_threads(_wrong) m;
  end if;
  return query
  select
    k.kind,
    (_checked ->> split_part(k.kind, '.', 1))::bigint,
    coalesce((_mended ->> k.kind)::bigint, 0),
    _next
  from unnest(array[
    'channels.member_count', 'channels.message_count', 'channels.last_message_at', 'channels.last_message_id',
    'channels.post_seq', 'channels.event_seq', 'deleted_posts', 'channel_members.read_post_seq',
    'channel_members.own_posts', 'channel_members.own_posts_read', 'channel_members.unread_count',
    'thread_followers.replies', 'thread_followers.first_reply_id', 'messages.thread_count',
    'messages.thread_user_count', 'messages.thread_users', 'messages.last_reply_at'
  ]) as k(kind);
end
$$;
comment on function reconcile_counters(bigint, bigint, int) is
  'Compares every stored number of a page of channels, of one tenant or (0) of all, with a count by hand, and mends what is wrong. For each kind how many were looked at and mended, and where to go on (null: all done). For operators.';

create function database_stats()
returns table (name text, rows_estimate bigint, bytes bigint)
language sql stable security definer
set search_path = public, pg_temp
begin atomic
  select t.name, sum(greatest(p.reltuples, 0))::bigint, sum(pg_total_relation_size(p.oid))::bigint
  from (
    select c.oid, c.relname::text as name
    from pg_class c
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
    union all
    -- Days of the log apart.
    select c.oid, c.relname::text
    from pg_inherits i
    join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'channel_events'::regclass
  ) as t
  cross join lateral (select q.relid as oid from pg_partition_tree(t.oid) q where q.isleaf) as l
  join pg_class p on p.oid = l.oid
  where current_setting('app.role', true) = 'operator'
  group by t.name
  order by t.name;
end;
comment on function database_stats() is
  'Size of each table and of each day of the log, rows as PostgreSQL estimates them. For operators; nothing for others.';

create function count_tenants() returns bigint
language sql stable security definer
set search_path = public, pg_temp
begin atomic
  -- From one tenant to the next by the index, not over all their channels.
  with recursive tenants as (
    (select c.tenant_id from channels c order by c.tenant_id limit 1)
    union all
    select (select c.tenant_id from channels c where c.tenant_id > t.tenant_id order by c.tenant_id limit 1)
    from tenants t
    where t.tenant_id is not null
  )
  select count(t.tenant_id)
  from tenants t
  where current_setting('app.role', true) = 'operator';
end;
comment on function count_tenants() is 'How many tenants have or had a channel. For operators; 0 for others.';

-- Reactions of one unread activity, so that one that is taken back can be taken out.

alter table activity_feed add column gathered jsonb;
comment on column activity_feed.gathered is
  'For reactions: the last 100 that are in this activity, [{"user_id": 1, "emoji": "...", "name": "..."}]; null for others.';

drop function record_reaction(bigint, bigint, text, text, boolean);

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
  _mine constant jsonb := jsonb_build_object('user_id', app_user_id(), 'emoji', _emoji);
  _gathered jsonb;
  _last jsonb;
begin
  if _given is null then
    return null;
  end if;
  select
    p.tenant_id, p.sender_id, p.content, t.now, c.name, 'reaction:' || p.id as key,
    wants_activity(m.is_muted, m.notification_level, false) as wants,
    -- It is so: the caller is a member and did react, or took it back.
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
    and m.status in ('ACTIVE', 'MUTED');
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
  _gathered := coalesce(_open.gathered, '[]');
  if (_gathered @> jsonb_build_array(_mine)) = _given then
    return null;
  end if;
  if _given then
    _gathered := case when jsonb_array_length(_gathered) < 100 then _gathered else _gathered - 0 end
      || jsonb_build_array(_mine || jsonb_build_object('name', _actor_name));
  else
    select coalesce(jsonb_agg(g.reaction order by g.place), '[]')
    into _gathered
    from jsonb_array_elements(_gathered) with ordinality as g(reaction, place)
    where not g.reaction @> _mine;
  end if;

  if _gathered = '[]' then
    delete from activity_feed a
    where a.id = _open.id and a."timestamp" = _open."timestamp"
    returning a.* into _recorded;
    _recorded.occurrences := 0;
    return json_build_array(activity_json(_recorded, _target.content))::text;
  end if;

  _last := _gathered -> -1;
  if _open.id is null then
    insert into activity_feed
      (tenant_id, user_id, action_type, actor_id, channel_id, message_id, description, title, metadata,
       collapse_key, gathered, "timestamp", created_at)
    values (
      _target.tenant_id, _target.sender_id, 'REACTION_RECEIVED', app_user_id(), _channel_id, _message_id,
      activity_text('REACTION_RECEIVED', _actor_name, _target.name, _emoji), nullif(left(_target.name, 255), ''),
      jsonb_build_object('actor_name', _actor_name, 'channel_name', _target.name, 'emoji', _emoji),
      _target.key, _gathered, _target.now, _target.now
    )
    returning * into _recorded;
  else
    update activity_feed a
    set occurrences = greatest(a.occurrences + case when _given then 1 else -1 end, jsonb_array_length(_gathered)),
        actor_id = (_last ->> 'user_id')::bigint,
        description = activity_text('REACTION_RECEIVED', _last ->> 'name', _target.name, _last ->> 'emoji'),
        metadata = jsonb_build_object(
          'actor_name', _last ->> 'name', 'channel_name', _target.name, 'emoji', _last ->> 'emoji'
        ),
        gathered = _gathered,
        -- What is taken back is nothing new: it comes no higher, and who was shown the activity has seen it.
        "timestamp" = case when _given then greatest(a."timestamp", _target.now) else a."timestamp" end,
        xid = case when _given then pg_current_xact_id() else a.xid end
    where a.id = _open.id and a."timestamp" = _open."timestamp"
    returning a.* into _recorded;
  end if;
  return json_build_array(activity_json(_recorded, _target.content))::text;
end
$$;
comment on function record_reaction(bigint, bigint, text, text, boolean) is
  'Records for the sender of a message that the caller reacted to it, as one activity for all reactions until it is read; or, if not _given, takes a reaction that was taken back out of it again. Returns the activity as JSON, with 0 occurrences where nothing is left of it, or null.';

do $$
declare
  _function text;
begin
  foreach _function in array array[
    'channel_truth(bigint[])', 'deleted_post_truth(bigint[])', 'member_truth(bigint[])', 'follower_truth(bigint[])',
    'thread_truth(bigint[])', 'mend_channels(bigint[])', 'mend_deleted_posts(bigint[])', 'mend_members(bigint[])',
    'mend_followers(bigint[])', 'mend_threads(bigint[])', 'wrong_channels(bigint[])',
    'page_of_channels(bigint, bigint, int, bigint)', 'reconcile_counters(bigint, bigint, int)', 'database_stats()',
    'count_tenants()', 'record_reaction(bigint, bigint, text, text, boolean)'
  ] loop
    execute format('alter function %s owner to discuss_system', _function);
    execute format('revoke all on function %s from public', _function);
  end loop;

  foreach _function in array array[
    'reconcile_counters(bigint, bigint, int)', 'database_stats()', 'count_tenants()',
    'record_reaction(bigint, bigint, text, text, boolean)'
  ] loop
    execute format('grant execute on function %s to discuss_service', _function);
  end loop;
end
$$;
