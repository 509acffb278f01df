create or replace function record_additions(_channel_id bigint, _user_ids bigint[], _actor_name text) returns text
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
      and is_member_status(m.status)
      and wants_activity(m.is_muted, m.notification_level, false)
      and (
        app_is_service()
        or exists (
          select 1
          from channel_members me
          where me.channel_id = c.id
            and me.user_id = app_user_id()
            and is_member_status(me.status)
        )
      )
    order by m.user_id
    returning a as activity
  )
  select json_agg(activity_json(r.activity, null))::text
  from recorded r;
end;
comment on function record_additions(bigint, bigint[], text) is
  'Records for users that the caller added them to a group or topic. Checks that they and the caller are members. Returns the activities as JSON, null if there are none.';

alter function record_additions(bigint, bigint[], text) owner to discuss_system;
revoke all on function record_additions(bigint, bigint[], text) from public;
grant execute on function record_additions(bigint, bigint[], text) to discuss_service;
