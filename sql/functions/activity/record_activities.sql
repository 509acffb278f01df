create or replace function record_activities(_items json, _request_id uuid, _payload_hash bytea)
returns table (error_reason text, activities text)
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

  -- Serializes calls with the same collapse key. Keys share 256 locks, so that a large batch takes at most these, in order.
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
      on m.channel_id = c.id and m.user_id = u.user_id and is_member_status(m.status)
    where u.user_id != i."actorId"
      and (i."channelId" is null or wants_activity(m.is_muted, m.notification_level, false))
  ),
  -- The last item of each key determines the activity; an item without a key is an activity of its own.
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
  -- Locked in the same order as by the statements that mark activities as read.
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
      version = a.version + 1,
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
  'Records a batch of a service for users of its tenant, and returns the activities as JSON. With a channel, only for its members whose notification settings allow it. error_reason is REPEATED if the request id was used for the same batch and REQUEST_ID_REUSED if for another request; then nothing is recorded.';
