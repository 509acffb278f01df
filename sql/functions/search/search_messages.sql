create or replace function search_messages(
  _query tsquery,
  _filter jsonb,
  _before bigint,
  _from bigint,
  _now bigint,
  _limit int
) returns table (message_id bigint, score bigint, words tsvector)
language plpgsql security definer
set search_path = public, pg_temp
-- Planning each span of ids took longer than searching it. No other index fits the conditions below, so a plan cached while
-- the tables were small is the same.
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set jit = off
as $$
declare
  _tenant constant bigint := app_tenant_id();
  _user constant bigint := app_user_id();
  _wanted constant bigint[] := array(select jsonb_array_elements_text(_filter -> 'channelIds')::bigint);
  _thread constant bigint := _filter ->> 'parentId';
  _after_ms constant bigint := _filter ->> 'afterMs';
  _before_ms constant bigint := _filter ->> 'beforeMs';
  _has_attachment constant boolean := _filter ->> 'hasAttachment';
  _types constant text[] := array(select jsonb_array_elements_text(_filter -> 'types'));
  -- A filter that is not set is the tenant's token, which every message has.
  _any constant bigint[] := array[_tenant << 3];
  _sender_ids constant bigint[] := array(select jsonb_array_elements_text(_filter -> 'senderIds')::bigint);
  _senders bigint[] := array(select s << 3 | 2 from unnest(_sender_ids) as s);
  _kinds bigint[];
  _channels bigint[];
  _scope bigint[];
  _spans bigint[];
  _posts bigint;
  _end bigint;
  _start bigint;
  _low bigint;
  -- For a prefix, the index collects all its words again in each span.
  _width bigint := case when _query::text like '%:*%' then 131072 else 16384 end;
  _looked bigint := 0;
  _found int := 0;
  _rows int;
begin
  select
    array_agg(c.id),
    sum(c.post_seq),
    -- Within a channel, messages are in the order of time.
    max(case
      when _before_ms is null then c.last_message_id
      else (
        select m.id
        from messages m
        where m.channel_id = c.id and not m.is_deleted and m.created_at < _before_ms
        order by m.created_at desc, m.id desc
        limit 1
      )
    end) + 1
  into _channels, _posts, _end
  from channel_members cm
  join channels c on c.id = cm.channel_id
  where cm.user_id = _user
    and cm.tenant_id = _tenant
    and is_member_status(cm.status)
    and c.tenant_id = _tenant
    and c.deleted_at is null
    and (cardinality(_wanted) = 0 or c.id = any(_wanted));

  if _query is null or _end is null then
    return;
  end if;
  _end := least(_end, _before);
  -- A thread has no ids below its root message.
  _start := greatest(_from, _thread, 0);

  -- A match costs about 0.3 us per channel in the index condition, and 4 us to read and discard the row. So for many channels
  -- that hold a large part of all messages, the index condition is the tenant instead.
  _scope := case
    when cardinality(_channels) <= 13 * _end / greatest(_posts, 1) then array(select c * 8 + 1 from unnest(_channels) as c)
    else _any
  end;
  if cardinality(_senders) = 0 then
    _senders := _any;
  end if;
  _kinds := array(
    select case t when 'TEXT' then 5 when 'IMAGE' then 13 when 'FILE' then 21 when 'SYSTEM' then 29 when 'CODE' then 37 else 45 end
    from unnest(_types) as t
  );
  if cardinality(_kinds) = 0 then
    _kinds := _any;
  end if;

  -- From the newest ids to the oldest. The width of each step follows from the matches so far: a frequent word needs one
  -- step, a rare word a few.
  while _found < _limit and _end > _start loop
    -- A large span that extends above _end would be searched twice.
    _low := greatest(_start, case
      when _thread is not null or _width > 16777216 then 0
      when _width <= 262144 then (_end - _width) >> 13 << 13
      when _end & 262143 = 0 then (_end - _width) >> 18 << 18
      else _end >> 18 << 18
    end);
    _spans := case
      when _thread is not null or _width > 16777216 then _any
      when _width > 262144 and _end & 262143 = 0
        then array(select n * 8 + 4 from generate_series(_low >> 18, (_end - 1) >> 18) as n)
      else array(select n * 8 + 3 from generate_series(_low >> 13, (_end - 1) >> 13) as n)
    end;

    -- Expressions such as + 0 exclude other indexes, which do not contain the words.
    return query
    select
      f.id,
      case
        when _now is null then 0
        else (
          ts_rank(f.search_vector, _query, 1)
          * (0.25 + 0.75 * power(0.5, greatest(_now - f.created_at, 0) / (30 * 86400000.0)))
          * 1000000000
        )::bigint
      end,
      f.search_vector
    from (
      select m.id, m.created_at, w.search_vector
      from message_words w
      join messages m on m.id = w.message_id
      where w.search_vector @@ _query
        and w.scope && _scope
        and w.scope && _spans
        and w.scope && _senders
        and w.scope && _kinds
        and w.tenant_id = _tenant
        and w.message_id + 0 >= _low
        and w.message_id + 0 < _end
        -- Otherwise the words are those of an earlier version.
        and w.edited_at is not distinct from m.edited_at
        and m.tenant_id = _tenant
        and (
          select is_member_status(cm.status)
          from channel_members cm
          where cm.channel_id = m.channel_id and cm.tenant_id = _tenant and cm.user_id = _user
        )
        and not m.is_deleted
        and (cardinality(_sender_ids) = 0 or m.sender_id = any(_sender_ids))
        and (_thread is null or m.parent_id = _thread or m.id = _thread)
        and (_after_ms is null or m.created_at >= _after_ms)
        and (_before_ms is null or m.created_at < _before_ms)
        and (
          _has_attachment is null
          or _has_attachment
            = exists (select 1 from attachments a where a.message_id = m.id and a.tenant_id = _tenant)
        )
      order by w.message_id + 0 desc
      limit _limit - _found
    ) as f;
    get diagnostics _rows = row_count;
    _found := _found + _rows;
    _looked := _looked + _end - _low;
    _end := _low;
    _width := least(_width * 8, case when _found > 0 then (_limit - _found) * _looked / _found * 5 / 4 + 8192 end);
  end loop;
end
$$;
comment on function search_messages(tsquery, jsonb, bigint, bigint, bigint, int) is
  'The newest matching messages, at most _limit, with _from <= id < _before (null for no bound), each with its words and its score at the time _now in epoch ms (0 if null). Checks tenant and membership itself, because under row-level security @@ cannot use the index.';

alter function search_messages(tsquery, jsonb, bigint, bigint, bigint, int) owner to discuss_system;
revoke all on function search_messages(tsquery, jsonb, bigint, bigint, bigint, int) from public;
grant execute on function search_messages(tsquery, jsonb, bigint, bigint, bigint, int) to discuss_service;
