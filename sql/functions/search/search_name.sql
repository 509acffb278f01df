create or replace function search_name(_name text) returns text
language sql immutable strict parallel safe
return ' ' || translate(public.normalize_text(_name), '-_/.#', '     ');
comment on function search_name(text) is 'Name for SearchChannels: normalized, with a space before each word.';
