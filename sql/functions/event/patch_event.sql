create or replace function patch_event(_payload bytea, _seq_offset int, _seq bigint, _ms bigint) returns bytea
language sql immutable strict parallel safe
return overlay(_payload placing pb_varint9(_seq) || pb_time(_ms) from _seq_offset + 1);
comment on function patch_event(bytea, int, bigint, bigint) is
  'Writes seq (field 2) and time (field 3) over the placeholders of an encoded Event; the value of seq starts at byte _seq_offset.';
