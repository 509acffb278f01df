create or replace function record_message(
  _message_id bigint,
  _actor_name text,
  _after_user_id bigint,
  _limit int,
  out activities text,
  out next_after bigint
)
language plpgsql security definer
set search_path = public, pg_temp
-- Planning this statement takes longer than its execution.
set plan_cache_mode = force_generic_plan
-- Each part reads its users by key in the order of their ids. A plan cached while the tables were small would read all.
set enable_seqscan = off
set jit = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
begin
  with post as materialized (
    select
      p.id, p.tenant_id, p.channel_id, p.sender_id, p.content, p.mentions, p.mention_scope, p.parent_id,
      p.created_at, r.sender_id as root_sender_id, c.name
    from messages p
    join channels c on c.id = p.channel_id
    left join messages r on r.id = p.parent_id
    where p.id = _message_id
      and not p.is_deleted
  ),
  -- The users concerned, each with the strongest reason.
  concerned as materialized (
    select distinct on (u.user_id) u.user_id, u.type, u.reason
    from (
      select n.user_id, 'MENTION_RECEIVED' as type, 'NAMED' as reason, 1 as rank
      from post p
      cross join lateral unnest(p.mentions) as n(user_id)
      where n.user_id > _after_user_id
      union all
      select e.user_id, 'MENTION_RECEIVED', 'EVERYBODY', 2
      from post p
      cross join lateral (
        select m.user_id
        from channel_members m
        where m.channel_id = p.channel_id
          and m.user_id > _after_user_id
          and is_member_status(m.status)
        order by m.user_id
        limit _limit
      ) as e
      where p.mention_scope = 'CHANNEL'
      union all
      select
        t.user_id, 'REPLY_RECEIVED',
        case when t.user_id = p.root_sender_id then 'THREAD_STARTED' else 'THREAD_FOLLOWED' end, 3
      from post p
      cross join lateral (
        select f.user_id
        from thread_followers f
        where f.tenant_id = p.tenant_id
          and f.root_id = p.parent_id
          and f.user_id > _after_user_id
          and f.is_following
          -- Not users who have read the reply, or who follow because of a later one.
          and f.read_reply_id < p.id
        order by f.user_id
        limit _limit
      ) as t
    ) as u
    order by u.user_id, u.rank
    limit _limit
  ),
  recorded as (
    insert into activity_feed as a
      (tenant_id, user_id, action_type, actor_id, channel_id, message_id, description, title, metadata,
       is_read, read_at, "timestamp", created_at)
    select
      p.tenant_id, n.user_id, n.type, p.sender_id, p.channel_id, p.id,
      activity_text(n.type, _actor_name, p.name), nullif(left(p.name, 255), ''),
      jsonb_strip_nulls(jsonb_build_object(
        'actor_name', _actor_name,
        'channel_name', p.name,
        'reason', n.reason,
        'root_message_id', p.parent_id::text
      )),
      s.is_read, case when s.is_read then now_ms() end, p.created_at, p.created_at
    from post p
    cross join concerned n
    join channel_members m
      on m.channel_id = p.channel_id and m.user_id = n.user_id and is_member_status(m.status)
    -- A portion may be recorded after its users have read the message.
    cross join lateral (select coalesce(m.last_read_msg_id >= p.id, false) as is_read) as s
    where n.user_id != p.sender_id
      and wants_activity(m.is_muted, m.notification_level, n.type = 'MENTION_RECEIVED')
    order by n.user_id
    returning a as activity
  )
  select
    (
      select json_agg(activity_json(r.activity, p.content))::text
      from recorded r
      cross join post p
    ),
    (
      select case when count(*) = _limit then max(n.user_id) end
      from concerned n
    )
  into activities, next_after;
end
$$;
comment on function record_message(bigint, text, bigint, int) is
  'Records for users that a new message mentions them or replies in a thread that they follow: for the first _limit of the users concerned with ids above _after_user_id. Returns the activities as JSON, null if there are none, and the id after which to continue, null if no user is left. Only send_messages() and record_pending_activities() call it.';

alter function record_message(bigint, text, bigint, int) owner to discuss_system;
revoke all on function record_message(bigint, text, bigint, int) from public;
