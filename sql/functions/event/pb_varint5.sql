create or replace function pb_varint5(_value bigint) returns bytea
language sql immutable strict parallel safe
return set_byte(set_byte(set_byte(set_byte(set_byte('\x0000000000'::bytea,
  0, (_value & 127 | 128)::int),
  1, (_value >> 7 & 127 | 128)::int),
  2, (_value >> 14 & 127 | 128)::int),
  3, (_value >> 21 & 127 | 128)::int),
  4, (_value >> 28 & 127)::int);
comment on function pb_varint5(bigint) is
  'A number below 2^35 as a protobuf varint padded to five bytes, which every decoder accepts.';
