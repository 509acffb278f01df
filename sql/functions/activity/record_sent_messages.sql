create or replace function record_sent_messages(
  _limit int,
  _max_members int,
  out events int,
  out activities text,
  out error text,
  out is_skipped boolean
)
language plpgsql security definer
set search_path = public, pg_temp
-- Another session may have locked an activity or a channel.
set lock_timeout = '500ms'
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set jit = off
as $$
#variable_conflict use_column
declare
  _to constant xid8 := pg_snapshot_xmin(pg_current_snapshot());
  _from xid8;
  _last xid8;
begin
  events := 0;
  is_skipped := false;
  -- One call at a time over all instances.
  if not pg_try_advisory_xact_lock(hashtext('record_sent_messages')) then
    return;
  end if;
  select s.activities_xid into _from from event_log_state s;
  -- The first call starts at the end of the log. So does one in a restored dump, where transaction ids start again, and one
  -- before any member is concerned.
  if _from is null or _from > _to or not exists (select 1 from channel_members w where w.wants_messages) then
    update event_log_state set activities_xid = _to;
    return;
  end if;
  select count(*), max(e.xid)
  into events, _last
  from (
    select xid from channel_events where xid >= _from and xid < _to order by xid, id limit _limit
  ) as e;
  if events = 0 then
    return;
  end if;

  begin
    with posted as materialized (
      select e.channel_id, e.message_id
      from channel_events e
      where e.xid >= _from
        -- Up to the end of the last transaction, so that its events are processed together.
        and e.xid <= _last
        and e.kind = 'MESSAGE_CREATED'
    ),
    -- Lateral with an offset, so that each row is looked up by key, whatever the statistics of the tables are.
    wanted as materialized (
      select m.*, c.name
      from posted p
      cross join lateral (
        select k.name
        from channels k
        where k.id = p.channel_id
          and k.member_count <= _max_members
          and k.deleted_at is null
          and exists (select 1 from channel_members w where w.channel_id = k.id and w.wants_messages)
        offset 0
      ) as c
      cross join lateral (
        select
          k.id, k.tenant_id, k.channel_id, k.sender_id, k.created_at, k.content, k.parent_id, k.mentions
        from messages k
        where k.id = p.message_id
          and k.channel_id = p.channel_id
          and not k.is_deleted
          and k.notice is null
          -- Recorded as mentions, as are those that name the member.
          and k.mention_scope is distinct from 'CHANNEL'
        offset 0
      ) as m
    ),
    sent as materialized (
      select m.*, w.user_id
      from wanted m
      cross join lateral (
        select k.user_id
        from channel_members k
        where k.channel_id = m.channel_id
          and k.wants_messages
          and k.user_id != m.sender_id
          and k.user_id != all (m.mentions)
          and k.joined_at <= m.created_at
          and is_member_status(k.status)
          and wants_activity(k.is_muted, k.notification_level, false)
          and m.id > coalesce(k.last_read_msg_id, 0)
        offset 0
      ) as w
      -- These are recorded as replies.
      where not exists (
        select 1
        from thread_followers f
        where f.tenant_id = m.tenant_id
          and f.root_id = m.parent_id
          and f.user_id = w.user_id
          and f.is_following
      )
    ),
    latest as materialized (
      select distinct on (s.user_id, s.channel_id)
        s.*,
        'messages:' || s.channel_id as key,
        (count(*) over (partition by s.user_id, s.channel_id))::int as posts,
        nullif(left(s.name, 255), '') as title,
        activity_text('MESSAGE_SENT', '', s.name) as description,
        jsonb_strip_nulls(jsonb_build_object(
          'actor_name', '', 'channel_name', s.name, 'root_message_id', s.parent_id::text
        )) as metadata
      from sent s
      order by s.user_id, s.channel_id, s.id desc
    ),
    -- Locked in the same order as by the statements that mark activities as read.
    open as materialized (
      select o.*
      from (
        select l.*, f.id as open_id, f."timestamp" as open_time
        from latest l
        cross join lateral (
          select k.id, k."timestamp"
          from activity_feed k
          where k.tenant_id = l.tenant_id
            and k.user_id = l.user_id
            and k.collapse_key = l.key
            and not k.is_read
          offset 0
        ) as f
      ) as o
      join activity_feed a on a.id = o.open_id and a."timestamp" = o.open_time
      where not a.is_read
      order by a.id
      for no key update of a
    ),
    updated as (
      update activity_feed a
      set occurrences = a.occurrences + o.posts,
          version = a.version + 1,
          actor_id = o.sender_id,
          message_id = o.id,
          title = o.title,
          description = o.description,
          metadata = o.metadata,
          "timestamp" = greatest(a."timestamp", o.created_at),
          xid = pg_current_xact_id()
      from open o
      where a.id = o.open_id and a."timestamp" = o.open_time
      returning a as activity, o.content
    ),
    inserted as (
      insert into activity_feed as a
        (tenant_id, user_id, action_type, actor_id, channel_id, message_id, description, title, metadata,
         collapse_key, occurrences, "timestamp", created_at)
      select
        l.tenant_id, l.user_id, 'MESSAGE_SENT', l.sender_id, l.channel_id, l.id, l.description, l.title, l.metadata,
        l.key, l.posts, l.created_at, now_ms()
      from latest l
      where not exists (select 1 from open o where o.user_id = l.user_id and o.channel_id = l.channel_id)
      order by l.user_id, l.channel_id
      returning a as activity
    )
    select json_agg(r.recorded)::text
    into activities
    from (
      select activity_json(u.activity, u.content) as recorded from updated u
      union all
      select activity_json(i.activity, l.content)
      from inserted i
      join latest l on l.user_id = (i.activity).user_id and l.channel_id = (i.activity).channel_id
    ) as r;
  exception when others then
    error := sqlstate || ' ' || sqlerrm;
    -- A single transaction of the log that fails is skipped, unless the error is one of the database's state.
    is_skipped := _limit = 1 and left(sqlstate, 2) not in ('08', '25', '40', '53', '55', '57', '58');
    if not is_skipped then
      events := 0;
      return;
    end if;
  end;
  update event_log_state set activities_xid = (_last::text::bigint + 1)::text::xid8;
end
$$;
comment on function record_sent_messages(int, int) is
  'Records the messages of about _limit events of the log as activities of members that have set their notification level to ALL, in channels of at most _max_members members: one activity per channel while it is unread. The position in the log is written in the same transaction, so no message is counted twice. Returns the number of events, less than _limit if none are left, and the activities as JSON. After an error nothing is recorded; with a _limit of 1 the failing transaction of the log is then skipped (is_skipped).';

alter function record_sent_messages(int, int) owner to discuss_system;
revoke all on function record_sent_messages(int, int) from public;
grant execute on function record_sent_messages(int, int) to discuss_service;
