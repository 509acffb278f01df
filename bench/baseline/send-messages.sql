-- The path of a message as it was before it was optimized, for `postgres_send_vs_baseline`: the schema and, unchanged, the
-- functions. Applied to a migrated database.

drop trigger trigger_index_inserted_message on messages;
drop index idx_messages_search;

alter table messages
  add foreign key (channel_id) references channels(id) on delete cascade,
  add foreign key (parent_id) references messages(id) on delete set null,
  add column search_vector tsvector generated always as (
    setweight(
      to_tsvector('public.discuss_simple', translate(normalize(content, nfc), '-_/.@+<>&', '         ')),
      'A'
    )
    || to_tsvector('pg_catalog.english', content)
  ) stored;

create index idx_messages_search
  on messages using gin (
    search_vector,
    search_scope(id, tenant_id, channel_id, sender_id, message_type)
  );
create index idx_messages_sender
  on messages (tenant_id, sender_id, created_at desc);
create index idx_messages_parent
  on messages (parent_id)
  where parent_id is not null;
create index idx_messages_mentions
  on messages using gin (mentions)
  where mentions != '{}';

create index idx_channels_entity
  on channels (tenant_id, entity_type, entity_id)
  where entity_type is not null;
create index idx_channels_created_by
  on channels (created_by, tenant_id);
create index idx_channels_last_message
  on channels (tenant_id, last_message_at desc nulls last)
  where is_archived = false;
drop index idx_channels_unsettled;
alter table channels drop column is_unsettled;
create index idx_channels_unsettled
  on channels (id)
  where unread_version != settled_version;

alter table channels
  drop constraint valid_channel_type,
  add constraint valid_channel_type check (type in ('DIRECT', 'GROUP', 'TOPIC'));
alter table messages
  drop constraint valid_message_type,
  drop constraint valid_mention_scope,
  add constraint valid_message_type check (message_type in ('TEXT', 'IMAGE', 'FILE', 'SYSTEM', 'CODE', 'POLL')),
  add constraint valid_mention_scope check (mention_scope in ('CHANNEL', 'HERE'));
alter table channel_members
  drop constraint valid_role,
  drop constraint valid_status,
  drop constraint valid_notification,
  add constraint valid_role check (role in ('OWNER', 'ADMIN', 'MEMBER', 'GUEST')),
  add constraint valid_status check (status in ('ACTIVE', 'MUTED', 'LEFT', 'REMOVED')),
  add constraint valid_notification check (notification_level in ('ALL', 'MENTIONS', 'NONE'));

create or replace function pb_varint5(_value bigint) returns bytea
language sql immutable strict parallel safe
return set_byte(set_byte(set_byte(set_byte(set_byte('\x0000000000'::bytea,
  0, (_value & 127 | 128)::int),
  1, (_value >> 7 & 127 | 128)::int),
  2, (_value >> 14 & 127 | 128)::int),
  3, (_value >> 21 & 127 | 128)::int),
  4, (_value >> 28 & 127)::int);

create or replace function pb_varint9(_value bigint) returns bytea
language sql immutable strict parallel safe
return set_byte(set_byte(set_byte(set_byte(set_byte(set_byte(set_byte(set_byte(set_byte('\x000000000000000000'::bytea,
  0, (_value & 127 | 128)::int),
  1, (_value >> 7 & 127 | 128)::int),
  2, (_value >> 14 & 127 | 128)::int),
  3, (_value >> 21 & 127 | 128)::int),
  4, (_value >> 28 & 127 | 128)::int),
  5, (_value >> 35 & 127 | 128)::int),
  6, (_value >> 42 & 127 | 128)::int),
  7, (_value >> 49 & 127 | 128)::int),
  8, (_value >> 56 & 127)::int);

create or replace function insert_messages(_items json)
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
as $$
#variable_conflict use_column
declare
  -- Error reasons of replies by item. Not part of the statement below, which would look into every partition of messages
  -- although most batches contain no reply.
  _parents jsonb := '{}';
begin
  -- Later statements see everything that was committed while this one waited for the locks.
  perform 1
  from channels c
  where c.id in (select distinct (i ->> 'channelId')::bigint from json_array_elements(_items) as i)
  order by c.id
  for no key update;

  if exists (select 1 from json_array_elements(_items) as i where i ->> 'parentId' is not null) then
    select coalesce(jsonb_object_agg(r.item, case when p.id is null then 'MESSAGE_NOT_FOUND' else 'MESSAGE_DELETED' end), '{}')
    into _parents
    from json_to_recordset(_items) as r(item int, "channelId" bigint, "parentId" bigint)
    left join messages p on p.id = r."parentId" and p.channel_id = r."channelId"
    where r."parentId" is not null
      and p.is_deleted is not false;
  end if;

  return query
  with checked as materialized (
    select
      r.*,
      case
        when c.id is null or (m.id is null and r."isManager" is not true) then 'CHANNEL_NOT_FOUND'
        when m.status = 'MUTED' then 'MEMBER_MUTED'
        when c.is_archived then 'CHANNEL_ARCHIVED'
        else _parents ->> r.item::text
      end as error_reason,
      c.event_seq,
      c.post_seq,
      c.last_message_at
    from json_to_recordset(_items) as r(
      item int, "tenantId" bigint, "userId" bigint, "isManager" boolean, "channelId" bigint,
      "requestId" uuid, "payloadHash" text,
      type text, content text, mentions bigint[], "mentionScope" text,
      "parentId" bigint, "alsoInChannel" boolean, metadata jsonb,
      payload text, "seqOffset" int, "messageOffset" int
    )
    -- Lateral with a limit, so that each row is looked up by key, whatever the statistics of the tables are.
    left join lateral (
      select k.id, k.is_archived, k.event_seq, k.post_seq, k.last_message_at
      from channels k
      where k.id = r."channelId" and k.tenant_id = r."tenantId" and k.deleted_at is null
      limit 1
    ) as c on true
    left join lateral (
      select k.id, k.status
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
    where "requestId" is not null
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
    where n."requestId" is null or n.id in (select resource_id from claimed)
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
       also_in_channel, metadata, post_seq, event_seq, created_event_seq, created_at, updated_at)
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

alter function insert_messages(json) owner to discuss_system;
revoke all on function insert_messages(json) from public;
-- Replies and activities are handled in separate functions, and not in the statement of insert_messages(): starting that
-- larger plan for each batch took 0.2 ms longer, while a message without mentions or a parent takes 0.03 ms longer this way.
create or replace function send_messages(_items json)
returns table (
  item int,
  error_reason text,
  message_id bigint,
  "position" bigint,
  created_at bigint,
  seq bigint,
  payload bytea,
  activities text
)
language plpgsql security definer
set search_path = public, pg_temp
-- As in insert_messages(), for record_reply() and record_message().
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  -- Items with mentions or a parent: the name of the sender, and whether it is a reply.
  _followups jsonb;
begin
  select jsonb_object_agg(i.item, jsonb_build_object('name', coalesce(i."userName", ''), 'reply', i."parentId" is not null))
  into _followups
  from json_to_recordset(_items) as i(
    item int, "userName" text, mentions bigint[], "mentionScope" text, "parentId" bigint
  )
  where i.mentions != '{}' or i."mentionScope" = 'CHANNEL' or i."parentId" is not null;

  for item, error_reason, message_id, "position", created_at, seq, payload in
    select p.item, p.error_reason, p.message_id, p."position", p.created_at, p.seq, p.payload
    from insert_messages(_items) as p
  loop
    activities := null;
    if error_reason is null and _followups ? item::text then
      if (_followups -> item::text ->> 'reply')::boolean then
        payload := record_reply(message_id, payload);
      end if;
      activities := record_message(message_id, _followups -> item::text ->> 'name');
    end if;
    return next;
  end loop;
end
$$;

alter function send_messages(json) owner to discuss_system;
revoke all on function send_messages(json) from public;
grant execute on function send_messages(json) to discuss_service;
