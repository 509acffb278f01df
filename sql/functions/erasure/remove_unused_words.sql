create or replace function remove_unused_words(_tenant_id bigint, _words text[]) returns int
language plpgsql security definer
set search_path = public, pg_temp
set enable_seqscan = off
set jit = off
-- Of a word in very many messages, the index returns about so many.
set gin_fuzzy_search_limit = 100000
as $$
declare
  _unused text[];
  _removed int;
begin
  _unused := array(
    select x.word
    from unnest(_words) as x(word)
    where not exists (
      select
      from message_words w
      where w.tenant_id = _tenant_id
        and w.search_vector @@ ('''' || replace(replace(x.word, '\', '\\'), '''', '''''') || ''':A')::tsquery
    )
  );
  if _unused = '{}' then
    return 0;
  end if;
  -- In the order of index_words(): the number first.
  perform 1 from search_words k where k.tenant_id = _tenant_id and k.word = '' for no key update;
  delete from search_words k
  where k.tenant_id = _tenant_id
    and k.word = any (_unused)
    and k.word != '';
  get diagnostics _removed = row_count;
  update search_words k
  set words = k.words - _removed
  where k.tenant_id = _tenant_id
    and k.word = '';
  return _removed;
end
$$;
comment on function remove_unused_words(bigint, text[]) is
  'Removes those of the words from a tenant''s words for searches that no message contains any more, and returns their number.';

alter function remove_unused_words(bigint, text[]) owner to discuss_system;
revoke all on function remove_unused_words(bigint, text[]) from public;
grant execute on function remove_unused_words(bigint, text[]) to discuss_service;
