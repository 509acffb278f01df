create or replace function index_words(_message_ids bigint[]) returns void
language plpgsql security definer
set search_path = public, pg_temp
set enable_seqscan = off
set jit = off
as $$
declare
  -- Per tenant, more than the words of two languages. Without a bound, messages of random words would grow the table.
  _max_words constant int := 200000;
  _new record;
  _words int;
begin
  delete from message_words w
  using messages m
  where w.message_id = any(_message_ids)
    and m.id = w.message_id
    and m.is_deleted;

  insert into message_words as w (message_id, tenant_id, edited_at, created_at, scope, search_vector)
  select
    m.id, m.tenant_id, m.edited_at, m.created_at,
    search_scope(m.id, m.tenant_id, m.channel_id, m.sender_id, m.message_type), message_vector(m.content || ' ' || m.file_names)
  from messages m
  where m.id = any(_message_ids)
    and not m.is_deleted
    and m.notice is null
  order by m.id
  on conflict (message_id) do update
  set edited_at = excluded.edited_at,
      scope = excluded.scope,
      search_vector = excluded.search_vector;

  -- With an offset, so that each word is looked up by key, whatever the statistics of the table are. As a join, each word was
  -- compared with all of the tenant's while the table grew: 4 s instead of 10 ms for 1,500 words, at 13,000 in the table.
  for _new in
    select w.tenant_id, array_agg(distinct x.word) as words
    from message_words w
    cross join lateral unnest(tsvector_to_array(ts_filter(w.search_vector, '{a}'))) as x(word)
    where w.message_id = any(_message_ids)
      and length(x.word) between 4 and 64
      and not exists (select 1 from search_words k where k.tenant_id = w.tenant_id and k.word = x.word offset 0)
    group by w.tenant_id
    order by w.tenant_id
  loop
    select k.words into _words from search_words k where k.tenant_id = _new.tenant_id and k.word = '';
    continue when _words >= _max_words;
    -- The row of the number is locked before any word is written, so that the number is exact, and so that transactions
    -- that write the same words in different orders do not block each other.
    insert into search_words (tenant_id, word, words)
    values (_new.tenant_id, '', 0)
    on conflict do nothing;
    select k.words into _words from search_words k where k.tenant_id = _new.tenant_id and k.word = '' for no key update;
    with added as (
      insert into search_words (tenant_id, word)
      select _new.tenant_id, n.word
      from unnest(_new.words) as n(word)
      where not exists (select 1 from search_words k where k.tenant_id = _new.tenant_id and k.word = n.word offset 0)
      limit greatest(0, _max_words - _words)
      on conflict do nothing
      returning 1
    )
    update search_words k
    set words = k.words + a.words
    from (select count(*) as words from added) as a
    where k.tenant_id = _new.tenant_id
      and k.word = ''
      and a.words > 0;
  end loop;
end
$$;
comment on function index_words(bigint[]) is
  'Brings the rows of these messages in message_words, and the words of their tenants, up to the current content and file names. A tenant has at most 200,000 words in search_words; later ones are found whole, but not by a part of them.';

alter function index_words(bigint[]) owner to discuss_system;
revoke all on function index_words(bigint[]) from public;
