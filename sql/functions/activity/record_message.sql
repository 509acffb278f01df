create or replace function record_message(_message_id bigint, _actor_name text) returns text
language plpgsql security definer
set search_path = public, pg_temp
-- Planning this statement takes longer than its execution.
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
  -- The users concerned, each with the strongest reason.
  concerned as materialized (
    select distinct on (u.user_id) u.user_id, u.type, u.reason
    from (
      select unnest(p.mentions) as user_id, 'MENTION_RECEIVED' as type, 'NAMED' as reason, 1 as rank
      from post p
      union all
      select m.user_id, 'MENTION_RECEIVED', 'EVERYBODY', 2
      from post p
      join channel_members m on m.channel_id = p.channel_id and is_member_status(m.status)
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
        -- Not users who follow because of a later reply of the same batch.
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
      on m.channel_id = p.channel_id and m.user_id = n.user_id and is_member_status(m.status)
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
  'Records for users that a new message mentions them or replies in a thread that they follow. Only send_messages() calls it. Returns the activities as JSON, null if there are none.';

alter function record_message(bigint, text) owner to discuss_system;
revoke all on function record_message(bigint, text) from public;
