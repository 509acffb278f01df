create or replace function search_query(_terms jsonb, _without_stop_words boolean) returns tsquery
language plpgsql stable security definer
set search_path = public, pg_temp
set client_min_messages = warning
set enable_seqscan = off
set jit = off
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
          and w.word like '%' || normalize_text(_term.part) || '%'
        order by length(w.word), w.word
        limit 64
      ) as p;
    end if;
    if numnode(_words) = 0 then
      -- A word that does not occur excludes nothing, but cannot be found.
      continue when _term.negated;
      return null;
    end if;
    _query := _query && case when _term.negated then !! _words else _words end;
  end loop;
  return case when _without_stop_words and not _dropped or numnode(_query) = 0 then null else _query end;
end
$$;
comment on function search_query(jsonb, boolean) is
  'The query for messages.search_vector that requires all terms: typed and english are texts for to_tsquery(), part is looked up among the tenant''s words. Null if nothing can match, or if stop words were to be dropped and there are none.';

alter function search_query(jsonb, boolean) owner to discuss_system;
revoke all on function search_query(jsonb, boolean) from public;
grant execute on function search_query(jsonb, boolean) to discuss_service;
