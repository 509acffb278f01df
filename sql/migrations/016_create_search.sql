-- Searching messages and channels. docs/schema-notes.md has the measurements behind what is done here.

-- Words are kept apart at every sign that joins them: PO-2024-001 is po, 2024, 001 in a row, and so found by any
-- run of them. Labels tell the words as typed (A) from English stems (D): without them a phrase could run from the
-- end of one list into the other, and a word that was typed would weigh no more than another form of it.
drop index idx_messages_search;
alter table messages drop column search_vector;
alter table messages add column search_vector tsvector generated always as (
  setweight(
    to_tsvector('public.discuss_simple', translate(normalize(content, nfc), '-_/.@+<>&', '         ')),
    'A'
  )
  || to_tsvector('pg_catalog.english', content)
) stored;
comment on column messages.search_vector is
  'Words of the content as typed, without diacritics (discuss_simple, label A), then stemmed in English (label D).';

create function search_scope(_id bigint, _tenant_id bigint, _channel_id bigint, _sender_id bigint, _type text)
returns bigint[]
language sql immutable parallel safe
return array[
  _tenant_id * 8,
  _channel_id * 8 + 1,
  _sender_id * 8 + 2,
  (_id >> 13) * 8 + 3,
  (_id >> 18) * 8 + 4,
  case _type when 'TEXT' then 5 when 'IMAGE' then 13 when 'FILE' then 21 when 'SYSTEM' then 29 when 'CODE' then 37 else 45 end
];
comment on function search_scope(bigint, bigint, bigint, bigint, text) is
  'Where a message belongs, as tokens of idx_messages_search: tenant, channel, sender, its span of 8,192 and of 262,144 ids, type. The last three bits say which.';

-- Full-text search. With the scope in the same index, a search reads from the table only what is in the caller's
-- channels, newest first, whatever else holds the same word.
create index idx_messages_search
  on messages using gin (
    search_vector,
    search_scope(id, tenant_id, channel_id, sender_id, message_type)
  );

create function search_name(_name text) returns text
language sql immutable strict parallel safe
return ' ' || translate(public.fold_text(_name), '-_/.#', '     ');
comment on function search_name(text) is
  'Name as SearchChannels compares it: folded, and with a space before each word.';

-- Apart from channels, where an index is written with every message whether its column changed or not.
create table channel_names (
  channel_id bigint primary key references channels(id) on delete cascade,
  tenant_id bigint not null,
  name text not null
);
comment on table channel_names is
  'Names of channels other than DIRECT as search_name() makes them, kept by trigger_keep_channel_name.';
comment on column channel_names.channel_id is 'The channel.';
comment on column channel_names.tenant_id is 'Tenant of the channel.';
comment on column channel_names.name is 'Its name, folded.';

create function keep_channel_name() returns trigger
language plpgsql security definer
set search_path = public, pg_temp
as $$
begin
  insert into channel_names (channel_id, tenant_id, name)
  values (new.id, new.tenant_id, search_name(new.name))
  on conflict (channel_id) do update set name = excluded.name;
  return null;
end
$$;
comment on function keep_channel_name() is 'Trigger of channels: keeps the name that SearchChannels looks at.';

-- Fires for statements that set the name, so not for messages.
create trigger trigger_keep_channel_name
after insert or update of name on channels
for each row
when (new.type != 'DIRECT')
execute function keep_channel_name();

insert into channel_names (channel_id, tenant_id, name)
select c.id, c.tenant_id, search_name(c.name)
from channels c
where c.type != 'DIRECT';

-- Channels of a tenant by parts of their names: SearchChannels.
create index idx_channel_names_search
  on channel_names using gin ((array[tenant_id]), name gin_trgm_ops);

create table search_words (
  tenant_id bigint not null,
  word text not null,
  horizon xid8,

  primary key (tenant_id, word)
);
comment on table search_words is
  'Words of a tenant''s messages, for finding words by a part of them. An index of the parts themselves would have to be kept on every post; this is kept in the background by learn_search_words(). A word outlives its messages.';
comment on column search_words.tenant_id is 'Tenant of the messages.';
comment on column search_words.word is 'The word without diacritics, in lower case, 4 characters or more.';
comment on column search_words.horizon is
  'Null but for the empty word of tenant 0, which is no tenant: events of all transactions below this one have been looked through.';

-- Words with a part: search_query().
create index idx_search_words_parts
  on search_words using gin ((array[tenant_id]), word gin_trgm_ops);

alter table channel_names enable row level security;
alter table channel_names force row level security;
create policy system_policy on channel_names to discuss_system using (true) with check (true);
grant select, insert, update, delete on channel_names to discuss_system;

alter table search_words enable row level security;
alter table search_words force row level security;
create policy system_policy on search_words to discuss_system using (true) with check (true);
grant select, insert, update, delete on search_words to discuss_system;
-- Without a policy they show the service nothing.
grant select on channel_names, search_words to discuss_service;

create function learn_search_words(_limit int) returns int
language plpgsql security definer
set search_path = public, pg_temp
as $$
declare
  _to constant xid8 := pg_snapshot_xmin(pg_current_snapshot());
  _from xid8;
  _last xid8;
  _events int;
begin
  -- One at a time; whoever comes second has nothing to do.
  if not pg_try_advisory_xact_lock(hashtext('learn_search_words')) then
    return 0;
  end if;
  select w.horizon into _from from search_words w where w.tenant_id = 0 and w.word = '';
  -- Transactions are numbered anew where a dump was restored.
  if _from is null or _from > _to then
    _from := '0';
  end if;
  select count(*), max(e.xid) into _events, _last
  from (
    select xid from channel_events where xid >= _from and xid < _to order by xid, id limit _limit
  ) as e;
  if _events = 0 then
    return 0;
  end if;

  -- To the end of the last transaction, so that none is cut in two.
  insert into search_words (tenant_id, word)
  select distinct m.tenant_id, w.word
  from channel_events e
  join messages m on m.id = e.message_id and m.tenant_id = e.tenant_id
  cross join lateral unnest(tsvector_to_array(ts_filter(m.search_vector, '{a}'))) as w(word)
  where e.xid >= _from
    and e.xid <= _last
    and not m.is_deleted
    and length(w.word) between 4 and 64
  on conflict do nothing;

  insert into search_words (tenant_id, word, horizon)
  values (0, '', (_last::text::bigint + 1)::text::xid8)
  on conflict (tenant_id, word) do update set horizon = excluded.horizon;
  return _events;
end
$$;
comment on function learn_search_words(int) is
  'Adds the words of messages posted or changed since it was last called, from about _limit events; returns from how many, so that less than _limit means: all.';

create function search_query(_terms jsonb, _without_stop_words boolean) returns tsquery
language plpgsql stable security definer
set search_path = public, pg_temp
set client_min_messages = warning
set enable_seqscan = off
as $$
declare
  _query tsquery := '';
  _english tsquery;
  _words tsquery;
  _dropped boolean := false;
  _term record;
begin
  for _term in
    select t.typed, t.english, t.part, t.negated
    from jsonb_to_recordset(_terms) as t(typed text, english text, part text, negated boolean)
  loop
    _words := to_tsquery('public.discuss_simple', _term.typed);
    if _term.english is not null then
      _english := to_tsquery('pg_catalog.english', _term.english);
      if _without_stop_words and not _term.negated and numnode(_english) = 0 then
        _dropped := true;
        continue;
      end if;
      _words := _words || _english;
    end if;
    if _term.part is not null then
      select coalesce(_words, '') || coalesce(string_agg(quote_literal(p.word) || ':A', ' | '), '')::tsquery
      into _words
      from (
        select w.word
        from search_words w
        where array[w.tenant_id] && array[app_tenant_id()]
          and w.word like '%' || fold_text(_term.part) || '%'
        order by length(w.word), w.word
        limit 64
      ) as p;
    end if;
    if numnode(_words) = 0 then
      -- A word that is nowhere can be left out, but not be found.
      continue when _term.negated;
      return null;
    end if;
    _query := _query && case when _term.negated then !! _words else _words end;
  end loop;
  return case when _without_stop_words and not _dropped or numnode(_query) = 0 then null else _query end;
end
$$;
comment on function search_query(jsonb, boolean) is
  'The query for messages.search_vector that asks for all terms: typed and english are texts for to_tsquery(), part is looked up among the tenant''s words. Null when nothing can match, and when stop words were to be dropped and there are none.';

create function search_messages(
  _query tsquery,
  _filter jsonb,
  _before bigint,
  _from bigint,
  _now bigint,
  _limit int
) returns table (message_id bigint, score bigint)
language plpgsql security definer
set search_path = public, pg_temp
-- Planning for each span of ids took longer than looking into it. No other index fits the conditions below, so
-- a plan made while the tables were small is the same one.
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
  -- What is not asked for is the tenant's token, which all have.
  _any constant bigint[] := array[_tenant * 8];
  _senders bigint[] := array(select jsonb_array_elements_text(_filter -> 'senderIds')::bigint * 8 + 2);
  _kinds bigint[];
  _channels bigint[];
  _scope bigint[];
  _spans bigint[];
  _posts bigint;
  _end bigint;
  _start bigint;
  _low bigint;
  -- The index collects all words with a beginning anew for each span.
  _width bigint := case when _query::text like '%:*%' then 131072 else 16384 end;
  _looked bigint := 0;
  _found int := 0;
  _rows int;
begin
  select
    array_agg(c.id),
    sum(c.post_seq),
    -- Inside a channel messages are in the order of time.
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
    and cm.status in ('ACTIVE', 'MUTED')
    and c.tenant_id = _tenant
    and c.deleted_at is null
    and (cardinality(_wanted) = 0 or c.id = any(_wanted));

  if _query is null or _end is null then
    return;
  end if;
  _end := least(_end, _before);
  -- A thread begins with its first message.
  _start := greatest(_from, _thread, 0);

  -- A match costs the index some 0.3 us for each channel it is asked for, and 4 us to be read from the table and
  -- dropped there. So with many channels that hold much of what was posted, the index is asked for the tenant.
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

  -- From the newest ids to the oldest, each time as far as it should take by what was found so far: what is found
  -- often is found at once, and what is found seldom costs a handful of looks into the index.
  while _found < _limit and _end > _start loop
    -- A large span that began above _end would be looked at twice.
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

    -- The + 0 and the like keep other indexes out of it, which know nothing of the words.
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
      end
    from (
      select m.id, m.created_at, m.search_vector
      from messages m
      where m.search_vector @@ _query
        and search_scope(m.id, m.tenant_id, m.channel_id, m.sender_id, m.message_type) && _scope
        and search_scope(m.id, m.tenant_id, m.channel_id, m.sender_id, m.message_type) && _spans
        and search_scope(m.id, m.tenant_id, m.channel_id, m.sender_id, m.message_type) && _senders
        and search_scope(m.id, m.tenant_id, m.channel_id, m.sender_id, m.message_type) && _kinds
        and m.tenant_id + 0 = _tenant
        and (
          select cm.status in ('ACTIVE', 'MUTED')
          from channel_members cm
          where cm.channel_id = m.channel_id and cm.tenant_id = _tenant and cm.user_id = _user
        )
        and m.id + 0 >= _low
        and m.id + 0 < _end
        and m.is_deleted::int = 0
        and (_thread is null or m.parent_id = _thread or m.id = _thread)
        and (_after_ms is null or m.created_at >= _after_ms)
        and (_before_ms is null or m.created_at < _before_ms)
        and (
          _has_attachment is null
          or _has_attachment
            = exists (select 1 from attachments a where a.message_id = m.id and a.tenant_id = _tenant)
        )
      order by m.id + 0 desc
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
  'The newest messages that match, at most _limit, with _from <= id < _before (null: any), each with its score at the time _now in epoch ms (null: 0). Looks by itself at tenant and membership of the caller, because row-level security would keep @@ from the index.';

create function search_channels(_words text[], _limit int)
returns table (channel_id bigint, score int)
language plpgsql stable security definer
set search_path = public, pg_temp
set plan_cache_mode = force_custom_plan
set enable_seqscan = off
set jit = off
as $$
declare
  _folded constant text[] := array(select fold_text(w) from unnest(_words) as w order by length(w) desc, w);
  _whole constant text := fold_text(array_to_string(_words, ' '));
  -- A part has three letters at least; less is the beginning of a word.
  _patterns constant text[] :=
    array(select case when length(w) < 3 then '% ' else '%' end || w || '%' from unnest(_folded) as w);
begin
  return query
  select
    c.id,
    case
      when n.name = ' ' || _whole then 4
      when n.name like ' ' || _whole || '%' then 3
      when n.name like '% ' || _whole || '%' then 2
      else 1
    end
  from channel_names n
  join channels c on c.id = n.channel_id
  where array[n.tenant_id] && array[app_tenant_id()]
    and c.tenant_id = app_tenant_id()
    and c.deleted_at is null
    -- The longest word by the index, the others among what it finds.
    and n.name like _patterns[1]
    and n.name like all (_patterns)
    and (
      (c.type = 'GROUP' and not c.is_private)
      or exists (
        select 1
        from channel_members cm
        where cm.channel_id = c.id
          and cm.tenant_id = c.tenant_id
          and cm.user_id = app_user_id()
          and cm.status in ('ACTIVE', 'MUTED')
      )
    )
  order by 2 desc, c.last_message_at desc nulls last, c.id desc
  limit _limit;
end
$$;
comment on function search_channels(text[], int) is
  'Channels of the caller and public groups of the tenant whose names hold all the words, the best _limit: 4 the name itself, 3 its beginning, 2 the beginning of a word, 1 anything else. Looks by itself at tenant and membership, because row-level security would keep like from the index.';

do $$
declare
  _function text;
begin
  foreach _function in array array[
    'keep_channel_name()',
    'learn_search_words(int)',
    'search_query(jsonb, boolean)',
    'search_messages(tsquery, jsonb, bigint, bigint, bigint, int)',
    'search_channels(text[], int)'
  ] loop
    execute format('alter function %s owner to discuss_system', _function);
    execute format('revoke all on function %s from public', _function);
    if _function != 'keep_channel_name()' then
      execute format('grant execute on function %s to discuss_service', _function);
    end if;
  end loop;
end
$$;
