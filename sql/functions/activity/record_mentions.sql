create or replace function record_mentions(_channel_id bigint, _message_id bigint, _user_ids bigint[], _actor_name text) returns text
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
      and is_member_status(m.status)
      and wants_activity(m.is_muted, m.notification_level, true)
      -- A mention that is removed by an edit and added again is recorded once.
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
  'Records for users that an edit of the caller''s message now mentions them. Checks the message and its mentions. Returns the activities as JSON, null if there are none.';

alter function record_mentions(bigint, bigint, bigint[], text) owner to discuss_system;
revoke all on function record_mentions(bigint, bigint, bigint[], text) from public;
grant execute on function record_mentions(bigint, bigint, bigint[], text) to discuss_service;
