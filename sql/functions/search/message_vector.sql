create or replace function message_vector(_content text) returns tsvector
language sql immutable parallel safe
-- Characters that join words become spaces, so that PO-2024-001 is the words po, 2024, 001 in sequence and any part of it is
-- found. The labels separate words as typed (A) from English stems (D): a phrase cannot match across both lists, and an exact
-- word ranks above another form of it.
return setweight(
  to_tsvector('public.discuss_simple', translate(normalize(_content, nfc), '-_/.@+<>&', '         ')),
  'A'
)
|| to_tsvector('pg_catalog.english', _content);
comment on function message_vector(text) is
  'Words of a message: without diacritics (discuss_simple, label A), and stemmed in English (label D).';
