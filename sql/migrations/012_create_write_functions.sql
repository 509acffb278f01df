-- The write path: stamping events, appending them to a channel's log, and posting messages in batches.
-- Lock order everywhere: channels in id order, then idempotency keys in key order, then members and messages.

create function pb_varint5(_value bigint) returns bytea
language sql immutable strict parallel safe
return set_byte(set_byte(set_byte(set_byte(set_byte('\x0000000000'::bytea,
  0, (_value & 127 | 128)::int),
  1, (_value >> 7 & 127 | 128)::int),
  2, (_value >> 14 & 127 | 128)::int),
  3, (_value >> 21 & 127 | 128)::int),
  4, (_value >> 28 & 127)::int);
comment on function pb_varint5(bigint) is
  'A number below 2^35 as a protobuf varint padded to five bytes, which every decoder accepts.';

create function pb_varint9(_value bigint) returns bytea
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
comment on function pb_varint9(bigint) is
  'A number of 0 or more as a protobuf varint padded to nine bytes, which every decoder accepts.';

create function pb_time(_ms bigint) returns bytea
language sql immutable strict parallel safe
return '\x1a0c08'::bytea || pb_varint5(_ms / 1000) || '\x10'::bytea || pb_varint5(_ms % 1000 * 1000000);
comment on function pb_time(bigint) is
  'Epoch ms as protobuf field 3 of type google.protobuf.Timestamp, 14 bytes: tag, length, seconds, nanos.';

create function stamp_event(_payload bytea, _seq_at int, _seq bigint, _ms bigint) returns bytea
language sql immutable strict parallel safe
return overlay(_payload placing pb_varint9(_seq) || pb_time(_ms) from _seq_at + 1);
comment on function stamp_event(bytea, int, bigint, bigint) is
  'Writes seq (field 2) and time (field 3) over the placeholders of an encoded Event, whose seq value starts at byte _seq_at.';

create function stamp_message(_payload bytea, _message_at int, _id bigint, _position bigint, _ms bigint) returns bytea
language sql immutable strict parallel safe
return overlay(
  _payload placing pb_varint9(_id) || '\x10'::bytea || pb_varint9(_position) || pb_time(_ms) from _message_at + 1
);
comment on function stamp_message(bytea, int, bigint, bigint, bigint) is
  'Writes id (field 1), position (2) and create_time (3) over the placeholders of the Message inside an encoded Event, whose id value starts at byte _message_at.';

create function append_event(_channel_id bigint, _kind text, _actor_id bigint, _payload bytea, _seq_at int)
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
  insert into channel_events (channel_id, seq, tenant_id, kind, actor_id, created_at, payload)
  values (_channel_id, _seq, app_tenant_id(), _kind, _actor_id, _now, _stamped);
  return query select _channel_id, _seq, _stamped;
end
$$;
comment on function append_event(bigint, text, bigint, bytea, int) is
  'Appends an event to the log of a channel of the caller''s tenant and returns it as logged. Keeps the channel''s row locked until commit.';

create function list_events(_channel_id bigint, _after bigint, _limit int)
returns table (channel_id bigint, seq bigint, payload bytea)
language sql stable security definer
set search_path = public, pg_temp
begin atomic
  select e.channel_id, e.seq, e.payload
  from channel_events e
  where e.channel_id = _channel_id and e.seq > _after
  order by e.seq
  limit _limit;
end;
comment on function list_events(bigint, bigint, int) is
  'Events of a channel after a seq, in order. For the hub, which checks who may have them.';

create function list_changed_channels(_from xid8, _to xid8)
returns table (channel_id bigint, head bigint, joins bytea[])
language sql stable security definer
set search_path = public, pg_temp
begin atomic
  select
    e.channel_id,
    max(e.seq),
    coalesce(array_agg(e.payload order by e.seq) filter (where e.kind = 'MEMBERS_JOINED'), '{}')
  from channel_events e
  where e.xid >= _from and e.xid < _to
  group by e.channel_id;
end;
comment on function list_changed_channels(xid8, xid8) is
  'Heads of the channels that got events from transactions in [_from, _to), and the joins among these. With both ends taken from pg_snapshot_xmin, consecutive calls miss nothing.';

create function send_messages(_items json)
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
      item int, "tenantId" bigint, "userId" bigint, "channelId" bigint, "requestId" uuid, "payloadHash" text,
      type text, content text, mentions bigint[], "parentId" bigint, metadata jsonb,
      payload text, "seqAt" int, "messageAt" int
    )
  ),
  checked as materialized (
    select
      r.*,
      case
        when m.id is null then 'CHANNEL_NOT_FOUND'
        when m.status = 'MUTED' then 'MEMBER_MUTED'
        when c.is_archived then 'CHANNEL_ARCHIVED'
        when r."parentId" is not null and p.id is null then 'MESSAGE_NOT_FOUND'
      end as refusal
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
  stamped as materialized (
    select
      p.*,
      stamp_event(
        stamp_message(decode(p.payload, 'base64'), p."messageAt", p.id, p.place, p.now), p."seqAt", p.seq, p.now
      ) as event
    from placed p
  ),
  inserted as (
    insert into messages
      (id, channel_id, sender_id, tenant_id, content, message_type, mentions, parent_id, metadata,
       post_seq, event_seq, created_at, updated_at)
    select
      id, "channelId", "userId", "tenantId", content, type, mentions, "parentId", metadata, place, seq, now, now
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
    set thread_count = p.thread_count + r.replies
    from (select "parentId", count(*) as replies from placed where "parentId" is not null group by 1) as r
    where p.id = r."parentId"
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
  'Posts a batch of messages of any callers and tenants. Each item is checked by itself: tenant, membership, archive, parent. refusal is null for a posted one, REPEATED when its request id is taken (look the message up by it), else the reason. One refused item does not touch the others.';

do $$
declare
  _function text;
begin
  foreach _function in array array[
    'append_event(bigint, text, bigint, bytea, int)',
    'list_events(bigint, bigint, int)',
    'list_changed_channels(xid8, xid8)',
    'send_messages(json)'
  ] loop
    execute format('alter function %s owner to discuss_system', _function);
    execute format('revoke all on function %s from public', _function);
    execute format('grant execute on function %s to discuss_service', _function);
  end loop;
end
$$;
