-- unaccent() is only stable, as its rules may change; an index needs immutable.
-- plpgsql keeps its plan for the session, an SQL function would plan for every statement.
create or replace function normalize_text(p_text text) returns text
language plpgsql immutable strict parallel safe
as $$
begin
  return lower(public.unaccent('public.unaccent', normalize(p_text, nfc)));
end
$$;
comment on function normalize_text(text) is
  'Text as compared in searches by parts of words: composed, without diacritics (đ included), lower case.';
