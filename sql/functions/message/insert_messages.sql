create or replace function insert_messages(_items json, _channel_ids bigint[], _has_parents boolean, _has_files boolean, _wait boolean)
returns table (
  item int,
  error_reason text,
  message_id bigint,
  "position" bigint,
  created_at bigint,
  seq bigint,
  payload bytea
)
language plpgsql security definer
set search_path = public, pg_temp
-- Every join looks up single rows by key. A plan cached while the tables were small would scan them completely.
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
  -- Error reasons of replies and of messages with files, by item. Not part of the statement below, which would look into
  -- every partition of messages although most batches contain no reply.
  _errors jsonb := '{}';
  _locked bigint[];
begin
  -- Later statements see everything that was committed while this one waited for the locks. A batch of several channels
  -- does not wait: its messages for other channels, also those of other tenants, would wait for nothing.
  if _wait then
    perform set_config('lock_timeout', '750', true);
    select array_agg(l.id)
    into _locked
    from (
      select c.id
      from channels c
      where c.id = any (_channel_ids)
      order by c.id
      for no key update
    ) as l;
  else
    select array_agg(l.id)
    into _locked
    from (
      select c.id
      from channels c
      where c.id = any (_channel_ids)
      order by c.id
      for no key update skip locked
    ) as l;
  end if;

  if _has_parents then
    select coalesce(jsonb_object_agg(r.item, case when p.id is null then 'MESSAGE_NOT_FOUND' else 'MESSAGE_DELETED' end), '{}')
    into _errors
    from json_to_recordset(_items) as r(item int, "channelId" bigint, "parentId" bigint)
    left join messages p on p.id = r."parentId" and p.channel_id = r."channelId"
    where r."parentId" is not null
      and p.is_deleted is not false;
  end if;

  if _has_files then
    _errors := check_attachments(_items) || _errors;
  end if;

  return query
  with checked as materialized (
    select
      r.*,
      case
        when c.id is null or (m.id is null and r."isManager" is not true) then 'CHANNEL_NOT_FOUND'
        when c.id = any (_locked) is not true then 'CHANNEL_BUSY'
        when is_restricted(m.status, m.restricted_until) then 'MEMBER_MUTED'
        when c.is_archived then 'CHANNEL_ARCHIVED'
        else _errors ->> r.item::text
      end as error_reason,
      c.event_seq,
      c.post_seq,
      c.last_message_at
    from json_to_recordset(_items) as r(
      item int, "tenantId" bigint, "userId" bigint, "isManager" boolean, "channelId" bigint,
      "requestId" uuid, "payloadHash" text,
      type text, content text, mentions bigint[], "mentionScope" text,
      "parentId" bigint, "alsoInChannel" boolean, metadata jsonb,
      payload text, "seqOffset" int, "messageOffset" int, "fileNames" text
    )
    -- Lateral with a limit, so that each row is looked up by key, whatever the statistics of the tables are.
    left join lateral (
      select k.id, k.is_archived, k.event_seq, k.post_seq, k.last_message_at
      from channels k
      where k.id = r."channelId" and k.tenant_id = r."tenantId" and k.deleted_at is null
      limit 1
    ) as c on true
    left join lateral (
      select k.id, k.status, k.restricted_until
      from channel_members k
      where k.channel_id = c.id and k.user_id = r."userId" and is_member_status(k.status)
      limit 1
    ) as m on true
  ),
  -- Ids are assigned after locking, so that in a channel the orders of id, seq and commit are the same.
  numbered as materialized (
    select o.*, nextval('messages_id_seq') as id
    from (select * from checked where error_reason is null order by "channelId", item) as o
  ),
  claimed as (
    insert into idempotency_keys
      (tenant_id, user_id, request_id, method, payload_hash, channel_id, resource_id, created_at)
    select distinct on ("tenantId", "userId", "requestId")
      "tenantId", "userId", "requestId", 'SendMessage', decode("payloadHash", 'base64'), "channelId", id, now_ms()
    from numbered
    order by "tenantId", "userId", "requestId", id
    on conflict do nothing
    returning resource_id
  ),
  placed as materialized (
    select
      n.*,
      n.event_seq + row_number() over channel as seq,
      n.post_seq + row_number() over channel as place,
      greatest(n.last_message_at, now_ms()) as now
    from numbered n
    where n.id in (select resource_id from claimed)
    window channel as (partition by n."channelId" order by n.id)
  ),
  patched as materialized (
    select
      p.item, p.id, p.place, p.now, p.seq, p."channelId", p."tenantId", p."userId",
      patch_event(
        patch_message(decode(p.payload, 'base64'), p."messageOffset", p.id, p.place, p.now), p."seqOffset", p.seq, p.now
      ) as event
    from placed p
  ),
  advanced as (
    update channels c
    set
      event_seq = a.seq,
      post_seq = a.place,
      last_message_id = a.id,
      message_count = c.message_count + a.posts,
      last_message_at = a.now,
      updated_at = greatest(c.updated_at, a.now),
      unread_version = c.unread_version + 1
    from (
      select "channelId", count(*)::int as posts, max(seq) as seq, max(place) as place, max(id) as id, max(now) as now
      from placed
      group by 1
    ) as a
    where c.id = a."channelId"
  ),
  inserted as (
    insert into messages
      (id, channel_id, sender_id, tenant_id, content, message_type, mentions, mention_scope, parent_id,
       also_in_channel, metadata, file_names, post_seq, event_seq, created_event_seq, created_at, updated_at)
    select
      id, "channelId", "userId", "tenantId", content, type, mentions, "mentionScope", "parentId",
      coalesce("alsoInChannel", false), metadata, coalesce("fileNames", ''), place, seq, seq, now, now
    from placed
    order by id
  ),
  logged as (
    insert into channel_events
      (channel_id, seq, tenant_id, kind, message_id, actor_id, created_at, payload)
    select "channelId", seq, "tenantId", 'MESSAGE_CREATED', id, "userId", now, event
    from patched
    order by "channelId", seq
  ),
  counted as (
    update channel_members m
    set own_posts = m.own_posts + s.posts
    from (select "channelId", "userId", count(*) as posts from placed group by 1, 2) as s
    where m.channel_id = s."channelId" and m.user_id = s."userId"
  )
  select s.item, null::text, s.id, s.place, s.now, s.seq, s.event
  from patched s
  union all
  select c.item, coalesce(c.error_reason, 'REPEATED'), null, null, null, null, null
  from checked c
  where c.item not in (select s.item from patched s);
end
$$;
comment on function insert_messages(json, bigint[], boolean, boolean, boolean) is
  'Inserts a batch of messages of any callers and tenants with their events and counters. Only send_messages() calls it. Each item is checked separately: tenant, membership (not needed with isManager, for a service that acts for no user), archived channel, parent, files. error_reason is null for a sent message, REPEATED if its request id was used before, CHANNEL_BUSY if another transaction has locked the channel (not with _wait, which waits up to 750 ms), else an ErrorReason. A rejected item does not affect the others.';

alter function insert_messages(json, bigint[], boolean, boolean, boolean) owner to discuss_system;
revoke all on function insert_messages(json, bigint[], boolean, boolean, boolean) from public;
