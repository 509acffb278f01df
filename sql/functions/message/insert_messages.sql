create or replace function insert_messages(
  _tenant_ids bigint[], _user_ids bigint[], _managers boolean[], _channel_ids bigint[], _request_ids uuid[], _payload_hashes bytea[],
  _types text[], _contents text[], _metadata text[], _payloads bytea[], _seq_offsets int[], _message_offsets int[],
  _mentions text[], _mention_scopes text[], _parent_ids bigint[], _also_in_channel boolean[], _file_names text[],
  _files json, _data_key_ids bigint[], _message_ids bigint[], _encrypted bytea[], _wait boolean
)
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
set jit = off
set enable_hashjoin = off
set enable_mergejoin = off
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
  -- Error reasons of replies and of messages with files, by item. Not part of the statement below, which would look into
  -- every partition of messages although most batches contain no reply.
  _errors jsonb;
  -- The locked channels, one element each. Reading them again for each item took longer than finding them in an array.
  _locked_ids bigint[];
  _locked_tenant_ids bigint[];
  _archived boolean[];
  _event_seqs bigint[];
  _post_seqs bigint[];
  _last_message_at bigint[];
  _locked_key_ids bigint[];
  _last_message_ids bigint[];
begin
  -- Later statements see everything that was committed while this one waited for the locks. A batch of several channels
  -- does not wait: its messages for other channels, also those of other tenants, would wait for nothing.
  if _wait then
    perform set_config('lock_timeout', '750', true);
    select
      array_agg(l.id), array_agg(l.tenant_id), array_agg(l.is_archived), array_agg(l.event_seq), array_agg(l.post_seq),
      array_agg(l.last_message_at), array_agg(l.data_key_id), array_agg(l.last_message_id)
    into
      _locked_ids, _locked_tenant_ids, _archived, _event_seqs, _post_seqs, _last_message_at, _locked_key_ids,
      _last_message_ids
    from (
      select
        c.id, c.tenant_id, c.is_archived, c.event_seq, c.post_seq, c.last_message_at, c.data_key_id, c.last_message_id
      from channels c
      where c.id = any (_channel_ids) and c.deleted_at is null
      order by c.id
      for no key update
    ) as l;
  else
    select
      array_agg(l.id), array_agg(l.tenant_id), array_agg(l.is_archived), array_agg(l.event_seq), array_agg(l.post_seq),
      array_agg(l.last_message_at), array_agg(l.data_key_id), array_agg(l.last_message_id)
    into
      _locked_ids, _locked_tenant_ids, _archived, _event_seqs, _post_seqs, _last_message_at, _locked_key_ids,
      _last_message_ids
    from (
      select
        c.id, c.tenant_id, c.is_archived, c.event_seq, c.post_seq, c.last_message_at, c.data_key_id, c.last_message_id
      from channels c
      where c.id = any (_channel_ids) and c.deleted_at is null
      order by c.id
      for no key update skip locked
    ) as l;
  end if;

  if _parent_ids is not null then
    select jsonb_object_agg(i.n - 1, case when p.id is null then 'MESSAGE_NOT_FOUND' else 'MESSAGE_DELETED' end)
    into _errors
    from generate_subscripts(_parent_ids, 1) as i(n)
    left join messages p on p.id = _parent_ids[i.n] and p.channel_id = _channel_ids[i.n]
    where _parent_ids[i.n] != 0
      and p.is_deleted is not false;
  end if;
  if _files is not null then
    _errors := check_attachments(_files) || coalesce(_errors, '{}');
  end if;

  return query
  with checked as materialized (
    select
      i.n, _channel_ids[i.n] as channel_id, _tenant_ids[i.n] as tenant_id, _user_ids[i.n] as user_id, c.at,
      case
        when c.at is null and not exists (
          select 1
          from channels k
          where k.id = _channel_ids[i.n] and k.tenant_id = _tenant_ids[i.n] and k.deleted_at is null
        ) then 'CHANNEL_NOT_FOUND'
        when _locked_tenant_ids[c.at] != _tenant_ids[i.n] then 'CHANNEL_NOT_FOUND'
        when m.status is null and _managers[i.n] is not true then 'CHANNEL_NOT_FOUND'
        when c.at is null then 'CHANNEL_BUSY'
        when is_restricted(m.status, m.restricted_until) then 'MEMBER_MUTED'
        when _archived[c.at] then 'CHANNEL_ARCHIVED'
        when nullif(_data_key_ids[i.n], 0) is distinct from _locked_key_ids[c.at] then 'KEY_CHANGED'
        when nullif(_message_ids[i.n], 0) <= _last_message_ids[c.at] then 'CHANNEL_BUSY'
        else _errors ->> (i.n - 1)::text
      end as error_reason
    from generate_subscripts(_channel_ids, 1) as i(n)
    -- With an offset, so that the position is computed once.
    cross join lateral (select array_position(_locked_ids, _channel_ids[i.n]) as at offset 0) as c
    -- Lateral with a limit, so that each row is looked up by key, whatever the statistics of the table are.
    left join lateral (
      select k.status, k.restricted_until
      from channel_members k
      where k.channel_id = _channel_ids[i.n] and k.user_id = _user_ids[i.n] and is_member_status(k.status)
      limit 1
    ) as m on true
  ),
  -- Ids are assigned after locking, so that in a channel the orders of id, seq and commit are the same. What is encrypted
  -- contains its id, which was therefore assigned before; if another message has overtaken it, it gets another one.
  numbered as materialized (
    select o.*, _request_ids[o.n] as request_id, coalesce(nullif(_message_ids[o.n], 0), nextval('messages_id_seq')) as id
    from (select * from checked where error_reason is null order by n) as o
  ),
  -- Of a request id that occurs twice in the batch, the first row is inserted. In the order of the keys, because a
  -- transaction that inserts the same key waits.
  claimed as (
    insert into idempotency_keys
      (tenant_id, user_id, request_id, method, payload_hash, channel_id, resource_id, created_at)
    select tenant_id, user_id, request_id, 'SendMessage', _payload_hashes[o.n], channel_id, id, now_ms()
    from numbered o
    order by tenant_id, user_id, request_id, id
    on conflict do nothing
    returning resource_id
  ),
  placed as materialized (
    select
      p.*,
      patch_event(
        patch_message(_payloads[p.n], _message_offsets[p.n], p.id, p.place, p.now), _seq_offsets[p.n], p.seq, p.now
      ) as event
    from (
      select
        o.*,
        _event_seqs[o.at] + row_number() over channel as seq,
        _post_seqs[o.at] + row_number() over channel as place,
        greatest(_last_message_at[o.at], now_ms()) as now
      from numbered o
      where o.id in (select resource_id from claimed)
      window channel as (partition by o.channel_id order by o.id)
    ) as p
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
      select channel_id, count(*)::int as posts, max(seq) as seq, max(place) as place, max(id) as id, max(now) as now
      from placed
      group by 1
    ) as a
    where c.id = a.channel_id
  ),
  inserted as (
    insert into messages
      (id, channel_id, sender_id, tenant_id, content, message_type, mentions, mention_scope, parent_id,
       also_in_channel, metadata, file_names, encrypted_content, post_seq, event_seq, created_event_seq, created_at,
       updated_at)
    select
      id, channel_id, user_id, tenant_id, _contents[p.n], _types[p.n], coalesce(_mentions[p.n], '{}')::bigint[],
      _mention_scopes[p.n], nullif(_parent_ids[p.n], 0), coalesce(_also_in_channel[p.n], false), _metadata[p.n]::jsonb,
      coalesce(_file_names[p.n], ''), nullif(_encrypted[p.n], ''), place, seq, seq, now, now
    from placed p
    order by id
  ),
  logged as (
    insert into channel_events
      (channel_id, seq, tenant_id, kind, message_id, actor_id, created_at, payload)
    select channel_id, seq, tenant_id, 'MESSAGE_CREATED', id, user_id, now, event
    from placed
    order by id
  ),
  counted as (
    update channel_members m
    set own_posts = m.own_posts + s.posts
    from (select channel_id, user_id, count(*) as posts from placed group by 1, 2) as s
    where m.channel_id = s.channel_id and m.user_id = s.user_id
  )
  select s.n - 1, null::text, s.id, s.place, s.now, s.seq, s.event
  from placed s
  union all
  select c.n - 1, coalesce(c.error_reason, 'REPEATED'), null, null, null, null, null
  from checked c
  where c.n not in (select s.n from placed s);
end
$$;
comment on function insert_messages(bigint[], bigint[], boolean[], bigint[], uuid[], bytea[], text[], text[], text[], bytea[], int[], int[], text[], text[], bigint[], boolean[], text[], json, bigint[], bigint[], bytea[], boolean) is
  'Inserts a batch of messages of any callers and tenants with their events and counters, for send_messages(), which describes the arguments.';

alter function insert_messages(bigint[], bigint[], boolean[], bigint[], uuid[], bytea[], text[], text[], text[], bytea[], int[], int[], text[], text[], bigint[], boolean[], text[], json, bigint[], bigint[], bytea[], boolean) owner to discuss_system;
revoke all on function insert_messages(bigint[], bigint[], boolean[], bigint[], uuid[], bytea[], text[], text[], text[], bytea[], int[], int[], text[], text[], bigint[], boolean[], text[], json, bigint[], bigint[], bytea[], boolean) from public;
