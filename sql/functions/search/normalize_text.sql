-- Declared immutable for use in indexes; unaccent() is only stable, because its rules can be changed.
-- In plpgsql, because its plan is cached for the session; an SQL function would be planned in every statement.
create or replace function normalize_text(_text text) returns text
language plpgsql immutable strict parallel safe
as $$
begin
  return lower(public.unaccent('public.unaccent', normalize(_text, nfc)));
end
$$;
comment on function normalize_text(text) is
  'Text for searches by a part of a word: composed (NFC), without diacritics (đ becomes d), in lower case.';
